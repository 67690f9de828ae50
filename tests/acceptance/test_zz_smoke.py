import os
from funnel.simulation import Simulation
def test_smoke(web_server):
    base = web_server(processes=2, DECLINES_PER_ADDRESS="0", DECLINES_PER_CARD="0", SYNCS_PER_MINUTE="100000")
    with Simulation(base, seed=3, rate=20, think_seconds=0.05, patience_seconds=5) as sim, open("/tmp/w/sim_smoke.txt", "w") as out:
        sim.run(shoppers=int(os.environ.get("N", "80")))
        t = sim.tally
        print(sim.seconds, t.kinds, t.acts, t.answers, t.noted, t.unexpected, t.percentile_ms(.5), t.percentile_ms(.99), sep="\n", file=out)
        problems = sim.check(settle_seconds=3)
        print(*problems, sep="\n", file=out)

"""Simulated shoppers: they drive a running site over HTTP, and remember what they were told.

    with Simulation("http://127.0.0.1:8000", seed=7, rate=5) as simulation:
        simulation.run(seconds=60)
        problems = simulation.check()

Whoever drives a site through faults uses it too: an answer that never came promises nothing, and
what was acknowledged must be what the site says in the end.
"""

from funnel.simulation.ledger import Facts, Ledger, Problem
from funnel.simulation.old_shop import OldSession
from funnel.simulation.running import Simulation

__all__ = ["Facts", "Ledger", "OldSession", "Problem", "Simulation"]

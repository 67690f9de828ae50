"""A web process is SIGKILLed at every step between T1 and its answer; then the books agree.

The gateway is NMI on the simulator, in every one of its modes. `make soak` does 1,000 runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from funnel.payments.nmi.simulator import running_simulator
from tests.crashes import FUNNEL, INSISTS, Plan, Rig, crash_rig, nmi_settings
from tests.paused_gateway import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.nmi.simulator import Simulator
    from tests.fault_servers import OwnServer

RUNS = 20
SOAK_RUNS = 1000
FIRST_SEED = int(os.environ.get("CRASH_SEED", "0"))


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with running_simulator(hang_seconds=1.5) as started:
        yield started


@pytest.fixture(scope="module")
def shared_rig(
    sim: Simulator,
    valkey: OwnServer,
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    with crash_rig(
        tmp_path_factory.mktemp("crashes"), sim, redis_url=valkey.url, database_url=database_url
    ) as started:
        yield started


@pytest.fixture
def rig(shared_rig: Rig, here: None, settings: SettingsWrapper) -> Iterator[Rig]:
    """Return the shop, with new books; this process sweeps for it."""
    gateway = "funnel.payments.nmi.NmiGateway"
    settings.FUNNEL = FUNNEL | {"GATEWAY": gateway, "NMI": nmi_settings(shared_rig.sim)}
    shared_rig.sim.reset()
    yield shared_rig
    shared_rig.site.show_log()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_r21_killed_in_the_middle_of_a_charge_the_books_agree(rig: Rig, seed: int) -> None:
    plan = Plan.of(seed)
    print(plan)

    rig.run(plan)


@pytest.mark.parametrize("operation", ["checkout", "upsell"])
@pytest.mark.parametrize("point", POINTS)
def test_r21_every_point_is_one_that_a_process_dies_at(
    rig: Rig, point: str, operation: str
) -> None:
    mode = "charge-then-hang" if point == "while_sent" else "approve"
    plan = Plan(seed=0, operation=operation, mode=mode, point=point, has_webhooks=False, clicks=1)
    before = rig.kills[point]

    # On a busy machine the gateway may answer after the timeout, and the point lies past it.
    for _ in range(INSISTS):
        rig.run(plan)
        if rig.kills[point] > before:
            break

    assert rig.kills[point] == before + 1


@pytest.mark.soak
def test_r21_a_thousand_crashes(rig: Rig) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + SOAK_RUNS):
        plan = Plan.of(seed)
        print(plan)
        rig.run(plan)
        if seed % 50 == 49:  # so that comparing stays quick: every run is compared on its own
            rig.begin_anew()

    print(dict(rig.kills))
    assert set(rig.kills) == set(POINTS)

"""The schedule: every fault in each round, the same for the same seed, within the time."""

from __future__ import annotations

import pytest

from tests.soak.ages import SETTLED_SECONDS
from tests.soak.faults import FAULTS
from tests.soak.schedule import LAST_PAUSE_SECONDS, PAUSE_SECONDS, REST_SECONDS, plan

KINDS = {name: fault.seconds for name, fault in FAULTS.items()}


@pytest.mark.parametrize("seconds", [60, 90, 600])
def test_every_fault_comes_within_the_time(seconds: float) -> None:
    steps = plan(KINDS, seconds=seconds, seed=1)

    assert {step.name for step in steps} == set(KINDS)
    assert sum(step.total for step in steps) <= seconds


def test_ten_minutes_take_the_stated_times() -> None:
    steps = plan(KINDS, seconds=600, seed=1)

    assert all(step.seconds == KINDS[step.name] for step in steps)
    assert all(step.pause >= PAUSE_SECONDS for step in steps)


def test_a_round_is_whole_before_the_next_begins() -> None:
    names = [step.name for step in plan(KINDS, seconds=2000, seed=1)]

    assert set(names[: len(KINDS)]) == set(names[len(KINDS) : 2 * len(KINDS)]) == set(KINDS)


def test_the_seed_is_the_order() -> None:
    first = plan(KINDS, seconds=600, seed=1)

    assert plan(KINDS, seconds=600, seed=1) == first
    assert plan(KINDS, seconds=600, seed=2) != first


def test_faults_come_throughout() -> None:
    seconds = 600

    steps = plan(KINDS, seconds=seconds, seed=1)

    idle = seconds - sum(step.total for step in steps)
    assert idle < LAST_PAUSE_SECONDS + REST_SECONDS + max(KINDS.values())
    assert sum(step.seconds for step in steps) > seconds / 4


def test_now_and_then_there_is_a_time_that_nothing_excuses() -> None:
    pauses = [step.pause for step in plan(KINDS, seconds=600, seed=1)]

    assert sum(pause - SETTLED_SECONDS for pause in pauses if pause > SETTLED_SECONDS) > 40

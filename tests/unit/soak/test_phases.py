"""Phases: each request belongs to the fault that it met."""

from __future__ import annotations

import math

import pytest

from tests.soak.phases import HEALTHY, RECOVERING, Phase, Spell, Timeline, quantile
from tests.soak.record import CUT, Record

TIMELINE = Timeline(
    [
        Spell(name="Redis hangs", area="redis", began=100, ended=110),
        Spell(name="database hangs", area="database", began=130, ended=140),
    ]
)


@pytest.mark.parametrize(
    ("asked", "took", "phase"),
    [
        (50, 1, HEALTHY),
        (99, 2, "Redis hangs"),  # it waited for what broke meanwhile
        (105, 1, "Redis hangs"),
        (109, 5, "Redis hangs"),
        (112, 1, RECOVERING),
        (120, 1, HEALTHY),
        (131, 1, "database hangs"),
        (150, 1, HEALTHY),
    ],
)
def test_a_request_belongs_to_the_fault_that_it_met(asked: float, took: float, phase: str) -> None:
    assert TIMELINE.phase(Record(asked, took, 0, "read")) == phase


def test_the_time_of_all_phases_is_the_whole_time() -> None:
    seconds = TIMELINE.seconds(began=90, ended=160)

    assert seconds == {HEALTHY: 40, RECOVERING: 10, "Redis hangs": 10, "database hangs": 10}


def test_when_the_last_fault_was_mended() -> None:
    assert TIMELINE.mended_at(50) == -math.inf
    assert TIMELINE.mended_at(105) == 105
    assert TIMELINE.mended_at(125) == 110


def test_the_last_fault_of_an_area() -> None:
    redis_hangs, database_hangs = TIMELINE.spells

    assert TIMELINE.last_of("database", 120) is None
    assert TIMELINE.last_of("database", 135) is database_hangs
    assert TIMELINE.last_of("redis", 150) is redis_hangs


def test_a_phase_counts_by_what_came_of_it() -> None:
    phase = Phase()

    phase.add(Record(1, 0.010, 0, "read", "s", 200, 1, "redis"))
    phase.add(Record(1, 0.020, 0, "read", "s", 503))
    phase.add(Record(1, 0.030, 0, "increment", "s", 503))
    phase.add(Record(1, 0.040, 0, "delete", "s", CUT))

    found = phase.figures(2)
    assert (found["requests"], found["per_second"]) == (4, 2)
    assert (found["failed_reads"], found["failed_writes"], found["cut"]) == (1, 1, 1)
    assert found["degraded"] == {"redis": 1}
    assert (found["read_p50_ms"], found["write_p50_ms"]) == (20, 40)


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert quantile([], 0.5) == 0
    assert quantile([0.001 * each for each in range(1, 101)], 0.99) == 100

"""How long a failed delivery waits."""

from __future__ import annotations

import pytest

from funnel.hooks.base import Result
from funnel.hooks.delivering import LONGEST_PAUSE_SECONDS, pause_seconds

FAILED = Result(error="no")


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_seconds(tries, FAILED, random=1.0) for tries in range(1, 13)]

    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert pause_seconds(10_000, FAILED, random=1.0) == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(("random", "pause"), [(0.0, 2.5), (0.5, 3.75), (1.0, 5.0)])
def test_chance_spreads_a_pause_over_its_second_half(random: float, pause: float) -> None:
    assert pause_seconds(1, FAILED, random=random) == pause


@pytest.mark.parametrize(("asked", "pause"), [(1, 5), (60, 60), (10**9, LONGEST_PAUSE_SECONDS)])
def test_a_target_that_asks_for_time_gets_it(asked: float, pause: float) -> None:
    result = Result(error="no", retry_after_seconds=asked)

    assert pause_seconds(1, result, random=1.0) == pause

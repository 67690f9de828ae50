"""When fewer than the limit count: the arithmetic, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.card_testing.counting import Tally

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ago(*minutes: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(minutes=each) for each in minutes)


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("declines", "asked_at", "limit", "until"),
    [
        ((), (), 1, None),
        (ago(10), (), 2, None),
        (ago(10), (), 1, later(50)),
        (ago(10, 20, 30), (), 3, later(30)),
        (ago(30, 10, 20), (), 2, later(40)),
        (ago(10, 20, 30), (), 1, later(50)),
        (ago(10), (later(2),), 2, later(2)),
        (ago(10), (later(2),), 1, later(50)),
        ((), (later(2), later(3)), 2, later(2)),
        ((), ago(5), 1, NOW + timedelta(seconds=1)),
    ],
)
def test_below_is_when_enough_have_left(
    declines: tuple[datetime, ...],
    asked_at: tuple[datetime, ...],
    limit: int,
    until: datetime | None,
) -> None:
    tally = Tally(declines=declines, asked_at=asked_at)

    assert tally.below(limit, window=HOUR, now=NOW) == until


@given(st.lists(st.integers(0, 3599), max_size=20), st.integers(1, 10))
def test_at_that_moment_and_not_before_fewer_than_the_limit_count(
    seconds: list[int], limit: int
) -> None:
    declines = tuple(NOW - timedelta(seconds=each) for each in seconds)

    until = Tally(declines=declines).below(limit, window=HOUR, now=NOW)

    def counting_at(moment: datetime) -> int:
        return sum(each + HOUR > moment for each in declines)

    if until is None:
        assert counting_at(NOW) < limit
    else:
        assert counting_at(until) < limit <= counting_at(until - timedelta(microseconds=1))

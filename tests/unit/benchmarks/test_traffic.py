"""A row whose answers come from another tier than it says fails loudly."""

from __future__ import annotations

import pytest

from tests.benchmarks.traffic import Expected, WrongTierError, check


def counted(*, gets: int = 0, scripts: int = 0, transactions: int = 0) -> dict[str, int]:
    return {"gets": gets, "scripts": scripts, "transactions": transactions}


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Expected(), counted()),
        (Expected(), counted(gets=3, transactions=4)),  # a heartbeat, a clock's measurement
        (Expected(gets=1), counted(gets=1000)),
        (Expected(transactions=1), counted(transactions=2500)),
        (Expected(gets=None, scripts=1), counted(gets=5000, scripts=1000)),
        (Expected(transactions=None), counted(transactions=700)),
    ],
)
def test_what_was_expected_passes(expected: Expected, found: dict[str, int]) -> None:
    check(expected, 1000, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Expected(), counted(gets=30)),  # L1 missed
        (Expected(), counted(scripts=30)),
        (Expected(), counted(transactions=30)),
        (Expected(gets=1), counted()),  # L1 was on, or Redis was left alone
        (Expected(gets=1), counted(gets=1000, scripts=100)),  # misses
        (Expected(gets=1), counted(gets=1000, transactions=100)),
        (Expected(transactions=1), counted(transactions=100)),  # a cache answered
        (Expected(scripts=1, transactions=1), counted(transactions=1000)),  # the puts were lost
    ],
)
def test_another_tiers_answers_are_refused(expected: Expected, found: dict[str, int]) -> None:
    with pytest.raises(WrongTierError, match="1000 calls cost"):
        check(expected, 1000, found)

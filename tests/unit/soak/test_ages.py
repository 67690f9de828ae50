"""Ages: an answer is as old as the oldest acknowledged write that it does not have."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.soak.ages import Acknowledgements, Ages
from tests.soak.record import CUT, Record

NEVER_BROKEN = -math.inf


def record(op: str, status: int, version: int = 0, **kwargs: Any) -> Record:
    given = {"asked": 0.0, "took": 0.0, "node": 0, "session": "s"} | kwargs
    return Record(op=op, status=status, version=version, **given)


def known(*records: Record) -> Acknowledgements:
    return Acknowledgements(records)


def judged(answer: Record, acknowledged: Acknowledgements, *, mended_at: float) -> Ages:
    ages = Ages(bound=60)
    ages.add(answer, acknowledged, lambda _: mended_at)
    return ages


def test_an_answer_is_behind_since_the_first_newer_version_was_acknowledged() -> None:
    acknowledged = known(
        record("create", 201, 1, asked=1),
        record("increment", 200, 2, asked=10, took=1),
        record("increment", 200, 3, asked=20),
    )

    assert acknowledged.behind(record("read", 200, 1, asked=30)) == 19
    assert acknowledged.behind(record("read", 200, 2, asked=30)) == 10
    assert acknowledged.behind(record("read", 200, 3, asked=30)) == 0


def test_a_later_version_acknowledged_earlier_counts() -> None:
    acknowledged = known(
        record("increment", 200, 2, asked=10, took=15), record("increment", 200, 3, asked=12)
    )

    assert acknowledged.behind(record("read", 200, 1, asked=20)) == 8


def test_a_write_acknowledged_while_the_read_was_under_way_does_not_count() -> None:
    acknowledged = known(record("increment", 200, 2, asked=10, took=5))

    assert acknowledged.behind(record("read", 200, 1, asked=14)) == 0


@pytest.mark.parametrize("status", [CUT, 412, 503])
def test_what_was_not_acknowledged_makes_nothing_old(status: int) -> None:
    acknowledged = known(record("increment", status, 2, asked=10))

    assert acknowledged.behind(record("read", 200, 1, asked=50)) == 0


def test_an_old_answer_is_counted_with_its_age() -> None:
    acknowledged = known(record("increment", 200, 2, asked=10))

    ages = judged(record("read", 200, 1, asked=13), acknowledged, mended_at=12)

    assert (ages.old, ages.oldest, ages.oldest_settled) == (1, 3, 0)


def test_long_after_every_fault_it_is_counted_apart() -> None:
    acknowledged = known(record("increment", 200, 2, asked=10))

    ages = judged(record("read", 200, 1, asked=13), acknowledged, mended_at=NEVER_BROKEN)

    assert ages.oldest_settled == 3


@pytest.mark.parametrize(
    ("asked", "mended_at", "is_revival"),
    [
        (15, 14, False),  # a copy that a fault kept from being dropped
        (25, NEVER_BROKEN, True),  # nothing was broken, and ten seconds are over
        (75, 74, True),  # past the bound nothing excuses it
    ],
)
def test_a_deleted_session_that_is_answered_is_revived_unless_a_fault_excuses_it(
    asked: float, mended_at: float, is_revival: bool
) -> None:
    acknowledged = known(record("create", 201, 1), record("delete", 204, asked=10))

    ages = judged(record("ghost", 200, 1, asked=asked), acknowledged, mended_at=mended_at)

    assert ages.after_delete == 1
    assert ages.latest_after_delete == asked - 10
    assert bool(ages.revived) == is_revival
    assert ages.old == 0


def test_a_deleted_session_that_is_not_found_is_as_it_should_be() -> None:
    acknowledged = known(record("delete", 204, asked=10))

    ages = judged(record("ghost", 404, asked=90), acknowledged, mended_at=NEVER_BROKEN)

    assert ages.after_delete == 0

"""The ledger: what was acknowledged must be there, what is unknown may be, nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak.ledger import Ledger, Stored
from tests.soak.record import CUT, Record, parse


def record(op: str, status: int, version: int = 0, **kwargs: Any) -> Record:
    given = {"asked": 1.0, "took": 0.5, "node": 0, "session": "s"} | kwargs
    return Record(op=op, status=status, version=version, **given)


def stored(version: int, **kwargs: Any) -> Stored:
    given = {"seqs": frozenset(range(1, version + 1))} | kwargs
    return Stored(version=version, **given)


def booked(*records: Record) -> Ledger:
    ledger = Ledger()
    for each in records:
        ledger.add(each)
    return ledger


CREATED = record("create", 201, 1)


def test_a_record_survives_its_line() -> None:
    given = record("merge", 200, 7, degraded="redis", note="3.0=9")

    assert parse(given.line) == given


def test_acknowledged_increments_that_are_there_are_no_fault() -> None:
    ledger = booked(CREATED, record("increment", 200, 2), record("increment", 200, 3))

    assert not ledger.faults({"s": stored(3, metadata={"n": 2})}, counters=["s"])
    assert ledger.acknowledged == {"create": 1, "increment": 2}


@pytest.mark.parametrize("status", [CUT, 503])
def test_an_unknown_increment_may_have_happened_or_not(status: int) -> None:
    ledger = booked(CREATED, record("increment", status))

    assert ledger.unknown == {"increment": 1}
    assert not ledger.faults({"s": stored(1)}, counters=["s"])
    assert not ledger.faults({"s": stored(2, metadata={"n": 1})}, counters=["s"])


def test_a_refused_increment_is_neither() -> None:
    ledger = booked(CREATED, record("increment", 412))

    assert not ledger.unknown
    assert not ledger.faults({"s": stored(1)}, counters=["s"])


def test_an_acknowledged_version_without_an_event_is_lost() -> None:
    ledger = booked(CREATED, record("increment", 200, 2))

    assert ledger.faults({"s": stored(1)}, counters=["s"]) == [
        "lost: v2 of s was acknowledged and has no event"
    ]


def test_a_version_acknowledged_to_two_writers_is_a_split_write() -> None:
    ledger = booked(CREATED, record("increment", 200, 2), record("increment", 200, 2, node=1))

    assert ledger.faults({"s": stored(2, metadata={"n": 1})}, counters=["s"]) == [
        "split: v2 of s was acknowledged to 2 writers"
    ]


def test_a_counter_that_counts_less_than_its_writes_has_lost_one() -> None:
    ledger = booked(CREATED, record("increment", 200, 2), record("increment", 200, 3))

    assert ledger.faults({"s": stored(3, metadata={"n": 1})}, counters=["s"]) == [
        "lost: s counts 1 after 2 increments"
    ]


@pytest.mark.parametrize(("held", "is_lost"), [(2, True), (3, False), (4, False), (5, True)])
def test_a_merged_key_is_between_what_was_acknowledged_and_what_was_sent(
    held: int, is_lost: bool
) -> None:
    ledger = booked(
        CREATED, record("merge", 200, 2, note="1.0=3"), record("merge", 503, note="1.0=4")
    )

    faults = ledger.faults({"s": stored(2, metadata={"1.0": held})}, counters=[])

    assert bool(faults) == is_lost


def test_a_deleted_session_with_a_row_is_revived() -> None:
    ledger = booked(CREATED, record("delete", 204))

    assert not ledger.faults({"s": stored(2, is_deleted=True)}, counters=[])
    assert ledger.faults({"s": stored(2)}, counters=[]) == ["revived: s was deleted and has a row"]


def test_a_created_session_that_nobody_deleted_must_be_there() -> None:
    gone = {"s": stored(2, is_deleted=True)}

    assert booked(CREATED).faults(gone, counters=[]) == ["lost: s was created and is gone"]
    assert booked(CREATED).faults({}, counters=[])
    assert not booked(CREATED, record("delete", CUT)).faults(gone, counters=[])


def test_events_have_no_gap() -> None:
    row = stored(3, seqs=frozenset({1, 3}))

    assert booked(CREATED).faults({"s": row}, counters=[]) == [
        "lost: the events of s are not 1 to 3"
    ]

"""Conflicts on record: once each, opened again by another state of the record, settled in bulk."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from legacy_adapters.conflicts.recording import Finding, record, settle
from legacy_adapters.models import SessionConflict
from tests.sessions import BORN

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db

OPEN, KEPT = SessionConflict.State.OPEN, SessionConflict.State.KEPT
LATER = BORN + timedelta(hours=1)


def entry(field: str, *, blocks: bool = True) -> dict[str, Any]:
    return {"field": field, "rule": "must_agree", "blocks": blocks, "unified": None, "legacy": {}}


def finding(number: int = 1, *fields: str, digest: str = "d1") -> Finding:
    evidence = [entry(field) for field in fields or ("email",)]
    return Finding(session_id=f"ws_1_{number}", digest=digest, evidence=evidence)


def note(*findings: Finding, source: str = "database", now: Any = BORN) -> None:
    record(source=source, findings=findings, now=now, using="default")


def resolve(conflict: SessionConflict) -> None:
    conflict.state = KEPT
    conflict.resolved_at, conflict.resolved_by, conflict.reason = BORN, "staff", "asked"
    conflict.save()


def test_a_conflict_is_put_on_record() -> None:
    note(finding(1, "email", "vault_id"))

    conflict = SessionConflict.objects.get()

    assert (conflict.source, conflict.session_id, conflict.digest) == ("database", "ws_1_1", "d1")
    assert conflict.fields == ["email", "vault_id"]
    assert conflict.evidence == [entry("email"), entry("vault_id")]
    assert (conflict.state, conflict.blocks, conflict.seen_at) == (OPEN, True, BORN)


def test_one_that_nothing_blocks_is_for_the_record() -> None:
    found = [entry("email", blocks=False)]

    note(Finding(session_id="ws_1_1", digest="d1", evidence=found))

    assert SessionConflict.objects.get().blocks is False


def test_the_same_again_changes_nothing() -> None:
    note(finding())

    note(finding(), now=LATER)

    assert SessionConflict.objects.get().seen_at == BORN


def test_other_fields_of_an_open_one_are_noted() -> None:
    note(finding(1, "email"))

    note(finding(1, "status"), now=LATER)

    conflict = SessionConflict.objects.get()
    assert (conflict.fields, conflict.seen_at) == (["status"], LATER)


@pytest.mark.parametrize("fields", [("email",), ("status",)])
def test_a_resolved_one_stays_resolved_while_its_record_says_the_same(
    fields: tuple[str, ...],
) -> None:
    note(finding())
    resolve(SessionConflict.objects.get())

    note(finding(1, *fields), now=LATER)

    conflict = SessionConflict.objects.get()
    assert (conflict.state, conflict.resolved_by, conflict.fields) == (KEPT, "staff", ["email"])


def test_another_state_of_the_record_opens_it_again() -> None:
    note(finding())
    resolve(SessionConflict.objects.get())

    note(finding(digest="d2"), now=LATER)

    conflict = SessionConflict.objects.get()
    assert (conflict.state, conflict.digest, conflict.seen_at) == (OPEN, "d2", LATER)
    assert (conflict.resolved_at, conflict.resolved_by, conflict.reason) == (None, "", "")


def test_each_store_has_its_own() -> None:
    note(finding())
    note(finding(), source="cookie")

    assert SessionConflict.objects.count() == 2


def test_a_batch_costs_no_more_than_one(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    note(finding(1), finding(2, digest="old"))

    with transaction.atomic(), django_assert_num_queries(2):
        note(*(finding(number) for number in range(1, 101)))

    assert SessionConflict.objects.filter(digest="d1").count() == 100


def test_a_batch_of_none_asks_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        note()
        assert settle("database", [], using="default") == 0


def test_a_batch_that_is_known_writes_nothing() -> None:
    note(finding(1), finding(2))
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM legacy_adapters_sessionconflict ORDER BY id")
        before = cursor.fetchall()

        note(finding(2), finding(1))

        cursor.execute("SELECT xmin::text FROM legacy_adapters_sessionconflict ORDER BY id")
        assert cursor.fetchall() == before


def test_it_is_part_of_the_callers_transaction() -> None:
    with transaction.atomic():
        note(finding())
        transaction.set_rollback(True)

    assert not SessionConflict.objects.exists()


def test_conflicts_that_are_none_any_more_are_removed() -> None:
    note(finding(1), finding(2), finding(3))
    note(finding(1), source="cookie")

    removed = settle("database", ["ws_1_1", "ws_1_2", "ws_1_9"], using="default")

    assert removed == 2
    rows = SessionConflict.objects.values_list("source", "session_id").order_by("pk")
    assert list(rows) == [("database", "ws_1_3"), ("cookie", "ws_1_1")]


def test_a_decision_stays_on_record() -> None:
    note(finding())
    resolve(SessionConflict.objects.get())

    assert settle("database", ["ws_1_1"], using="default") == 0

    assert SessionConflict.objects.get().state == KEPT

"""What the database itself refuses, whatever the code believes."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from funnel.payments.models import ChargeAttempt

pytestmark = pytest.mark.django_db

COLUMNS = (
    "session_id, purpose, step, state, amount, currency, gateway, gateway_order_id, "
    "transaction_id, lease_until, reason, response, created_at"
)
OPEN = ("claimed", "unknown", "needs_review", "succeeded")
CLOSED = ("declined", "rejected", "surplus", "refunded", "voided")


def insert(
    *,
    session: str = "ws_1_a",
    purpose: str = "checkout",
    state: str = "claimed",
    amount: str | None = "1",
    gateway: str = "nmi",
    order: str = "one",
    transaction_id: str | None = None,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO funnel_chargeattempt ({COLUMNS}) VALUES "
            "(%s, %s, 'processing', %s, %s, 'USD', %s, %s, %s, now(), '', '{}', now())",
            [session, purpose, state, amount, gateway, order, transaction_id],
        )


def refused(constraint: str, **values: str | None) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        insert(**values)


@pytest.mark.parametrize("first", OPEN)
@pytest.mark.parametrize("second", OPEN)
def test_a_purpose_has_one_attempt_that_is_open_or_paid(first: str, second: str) -> None:
    insert(state=first)

    refused("funnel_attempt_once_a_purpose", state=second, order="two")

    insert(state=second, order="three", purpose="upsell:upsell-1-serum")
    insert(state=second, order="four", session="ws_1_b")


@pytest.mark.parametrize("state", CLOSED)
def test_what_is_over_stands_beside_it(state: str) -> None:
    insert(state="succeeded")

    insert(state=state, order="two")
    insert(state=state, order="three")


def test_a_closed_attempt_cannot_be_opened_beside_a_paid_one() -> None:
    insert(state="succeeded")
    insert(state="declined", order="two")

    with (
        pytest.raises(IntegrityError, match="funnel_attempt_once_a_purpose"),
        transaction.atomic(),
    ):
        ChargeAttempt.objects.filter(gateway_order_id="two").update(state="needs_review")


def test_an_order_id_and_a_transaction_are_of_one_attempt_a_gateway() -> None:
    insert(transaction_id="t")

    refused("funnel_attempt_order_id", session="ws_1_b")
    refused("funnel_attempt_transaction", session="ws_1_b", order="two", transaction_id="t")
    insert(session="ws_1_b", gateway="sandbox", transaction_id="t")


@pytest.mark.parametrize("amount", ["0", "-1", None])
def test_an_amount_is_positive(amount: str | None) -> None:
    refused("funnel_attempt_amount", amount=amount)


def test_only_an_imported_attempt_has_no_amount() -> None:
    insert(amount=None, gateway="imported")
    refused("funnel_attempt_amount", amount="0", gateway="imported", order="x", session="ws_1_b")


def test_a_key_is_of_one_record_a_session() -> None:
    sql = (
        "INSERT INTO funnel_idempotencyrecord (session_id, key, request_hash, created_at) "
        "VALUES (%s, 'k', 'h', now())"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, ["ws_1_a"])
        cursor.execute(sql, ["ws_1_b"])

        with pytest.raises(IntegrityError, match="funnel_idempotency_key"), transaction.atomic():
            cursor.execute(sql, ["ws_1_a"])


def test_an_attempt_with_a_record_cannot_be_removed() -> None:
    insert()
    attempt = ChargeAttempt.objects.get()
    attempt.idempotency_records.create(
        session_id="ws_1_a", key="k", request_hash="h", created_at=attempt.created_at
    )
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute("DELETE FROM funnel_chargeattempt")


def test_a_held_session_cannot_become_a_tombstone_and_holds_are_never_negative() -> None:
    sql = (
        "INSERT INTO sessions_unified_unifiedsession (id, status, current_step, products, currency,"
        " upsells, metadata, version, holds, created_at, updated_at, expires_at, deleted_at) VALUES"
        " ('ws_1_a', 'pending', 'checkout', '[]', 'USD', '{}', '{}', 1, %s, now(), now(), now(), "
    )
    with connection.cursor() as cursor:
        for holds, deleted in ((1, "now())"), (-1, "NULL)")):
            with pytest.raises(IntegrityError), transaction.atomic():
                cursor.execute(sql + deleted, [holds])


def test_events_are_append_only() -> None:
    from django.db import DatabaseError

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sessions_unified_sessionevent "
            "(session_id, seq, kind, changed, data, actor, at) "
            "VALUES ('ws_1_a', 1, 'x', '[]', '{}', 'a', now())"
        )
        for sql in (
            "UPDATE sessions_unified_sessionevent SET actor = 'b'",
            "DELETE FROM sessions_unified_sessionevent",
        ):
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                cursor.execute(sql)

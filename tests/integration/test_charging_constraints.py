"""What the database itself refuses, whatever the code believes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.refunds.models import Refund

pytestmark = pytest.mark.django_db

COLUMNS = (
    "session_id, purpose, step, state, amount, currency, gateway, gateway_order_id, "
    "transaction_id, lease_until, reason, response, created_at"
)
OPEN = ("claimed", "unknown", "needs_review", "succeeded")
OPEN_STATES = ("claimed", "unknown", "needs_review")
NOW = "2026-11-21T12:00:00Z"
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
    currency: str = "USD",
    **moments: str | None,
) -> None:
    """Insert as other software would: what it does not know of has a default in the database."""
    known = {
        "settled_at": None if state in OPEN_STATES else NOW,
        "review_since": NOW if state == "needs_review" else None,
    }
    if state == "succeeded":
        transaction_id = transaction_id or f"t-{order}"
    given = known | moments
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO funnel_chargeattempt ({COLUMNS}, settled_at, review_since) VALUES "
            "(%s, %s, 'processing', %s, %s, %s, %s, %s, NULLIF(%s, ''), now(), '', '{}', now(), "
            "%s, %s)",
            [
                *(session, purpose, state, amount, currency, gateway, order, transaction_id),
                *(given["settled_at"], given["review_since"]),
            ],
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
        ChargeAttempt.objects.filter(gateway_order_id="two").update(
            state="needs_review", settled_at=None, review_since=NOW
        )


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


@pytest.mark.parametrize("state", OPEN_STATES)
def test_what_is_open_is_not_settled(state: str) -> None:
    refused("funnel_attempt_settled", state=state, settled_at=NOW)


@pytest.mark.parametrize("state", ["succeeded", *CLOSED])
def test_what_is_not_open_says_when_it_was_settled(state: str) -> None:
    refused("funnel_attempt_settled", state=state, settled_at=None)


def test_only_what_is_in_review_says_since_when() -> None:
    refused("funnel_attempt_review", state="needs_review", review_since=None)
    for state in ("claimed", "unknown", "succeeded", *CLOSED):
        refused("funnel_attempt_review", state=state, review_since=NOW)


def test_a_success_names_its_transaction_unless_another_shop_charged_it() -> None:
    insert(state="succeeded")

    with (
        pytest.raises(IntegrityError, match="funnel_attempt_names_transaction"),
        transaction.atomic(),
    ):
        ChargeAttempt.objects.update(transaction_id=None)
    ChargeAttempt.objects.update(transaction_id=None, gateway="imported")


def test_a_state_and_a_currency_are_ones_we_know() -> None:
    refused("funnel_attempt_state", state="paid")
    for currency in ("usd", "US", ""):
        refused("funnel_attempt_currency", currency=currency)


def test_a_row_of_other_software_has_every_column() -> None:
    insert()

    attempt = ChargeAttempt.objects.get()

    assert attempt.lines == []
    assert (attempt.address, attempt.card, attempt.checks) == ("", "", 0)
    assert (attempt.resolved_by, attempt.resolved_reason, attempt.discrepancy) == ("", "", "")


# Refunds and the money log


def a_refund(attempt: ChargeAttempt, **changes: Any) -> Refund:
    given = {
        "attempt": attempt,
        "kind": "refund",
        "state": "claimed",
        "amount": "1",
        "gateway": "nmi",
        "gateway_order_id": f"fr-{Refund.objects.count()}",
        "requested_by": "staff:1",
        "requested_reason": "Broken",
        "lease_until": NOW,
        "created_at": NOW,
    } | changes
    return Refund.objects.create(**given)


def an_entry(attempt: ChargeAttempt, **changes: Any) -> MoneyEntry:
    given = {
        "session_id": attempt.session_id,
        "attempt": attempt,
        "kind": "charge",
        "purpose": "checkout",
        "line": 0,
        "item_kind": "order",
        "amount": "1",
        "currency": "USD",
        "actor": "nmi",
        "at": NOW,
    } | changes
    return MoneyEntry.objects.create(**given)


@pytest.fixture
def charged() -> ChargeAttempt:
    insert(state="succeeded")
    return ChargeAttempt.objects.get()


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("funnel_refund_amount", {"amount": "0"}),
        ("funnel_refund_amount", {"amount": "-1"}),
        ("funnel_refund_state", {"state": "paid", "settled_at": NOW}),
        ("funnel_refund_settled", {"settled_at": NOW}),
        ("funnel_refund_settled", {"state": "unknown", "settled_at": NOW}),
        ("funnel_refund_settled", {"state": "succeeded"}),
        ("funnel_refund_settled", {"state": "refused"}),
    ],
)
def test_a_refund_that_cannot_be(
    charged: ChargeAttempt, constraint: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        a_refund(charged, **changes)


@pytest.mark.parametrize("first", OPEN_STATES)
@pytest.mark.parametrize("second", OPEN_STATES)
def test_one_refund_of_a_charge_is_open(charged: ChargeAttempt, first: str, second: str) -> None:
    a_refund(charged, state=first)

    with pytest.raises(IntegrityError, match="funnel_refund_one_open"), transaction.atomic():
        a_refund(charged, state=second)
    a_refund(charged, state="succeeded", settled_at=NOW)
    a_refund(charged, state="refused", settled_at=NOW)


def test_an_order_id_is_of_one_refund_a_gateway(charged: ChargeAttempt) -> None:
    a_refund(charged, gateway_order_id="same", state="refused", settled_at=NOW)

    with pytest.raises(IntegrityError, match="funnel_refund_order_id"), transaction.atomic():
        a_refund(charged, gateway_order_id="same")
    a_refund(charged, gateway_order_id="same", gateway="sandbox")


def test_a_line_is_charged_once_and_refunded_once_a_refund(charged: ChargeAttempt) -> None:
    one = a_refund(charged, state="succeeded", settled_at=NOW)
    another = a_refund(charged, state="succeeded", settled_at=NOW)
    an_entry(charged)
    an_entry(charged, refund=one, kind="refund", amount="-1")

    with pytest.raises(IntegrityError, match="funnel_money_charged_once"), transaction.atomic():
        an_entry(charged)
    with pytest.raises(IntegrityError, match="funnel_money_refunded_once"), transaction.atomic():
        an_entry(charged, refund=one, kind="refund", amount="-1")
    with pytest.raises(IntegrityError, match="funnel_money_kind"), transaction.atomic():
        an_entry(charged, line=1, kind="gift")
    an_entry(charged, line=1)
    an_entry(charged, refund=another, kind="refund", amount="-1")


@pytest.mark.parametrize(
    "sql", ["UPDATE funnel_moneyentry SET amount = 2", "DELETE FROM funnel_moneyentry"]
)
def test_the_money_log_is_append_only(charged: ChargeAttempt, sql: str) -> None:
    an_entry(charged)

    with connection.cursor() as cursor, transaction.atomic():
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(sql)

        cursor.execute("SELECT amount FROM funnel_moneyentry")
        assert cursor.fetchall() == [(1,)]


@pytest.mark.parametrize("table", ["funnel_chargeattempt", "funnel_refund"])
def test_what_is_in_the_books_cannot_be_removed(charged: ChargeAttempt, table: str) -> None:
    done = a_refund(charged, state="succeeded", settled_at=NOW)
    an_entry(charged, refund=done, kind="refund", amount="-1")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute(f"DELETE FROM {table}")


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

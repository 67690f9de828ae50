"""The charge protocol, step by step, on a real PostgreSQL: T1, the gateway's call, T2."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from funnel.checkout import process_checkout
from funnel.exceptions import (
    ChargeInFlightError,
    NothingToChargeError,
    OrderChangedError,
)
from funnel.payments import settling
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from sessions_unified import get_manager
from sessions_unified.exceptions import (
    InvalidTransitionError,
    SessionExpiredError,
    SessionHeldError,
    SessionNotFoundError,
)
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.sealing import unseal
from sessions_unified.tiers import database, get_tiers
from tests.charges import (
    State,
    answers,
    attempts,
    audit,
    charges,
    data,
    paid,
    pay,
    position,
    session_of,
    start,
    states,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.payments.gateway import Sale
    from tests.gateways import ScriptedGateway
from tests.managing import cleaner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]


def elsewhere(look: Callable[[], None]) -> None:
    """Run ``look`` on a connection of its own and pass on what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            look()
        except BaseException as exc:  # noqa: BLE001  (handed to the caller's thread)
            raised.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if raised:
        raise raised[0]


def end_now(session_id: str) -> None:
    """Move the session past its end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_unified_unifiedsession SET created_at = now() - interval '3 days', "
            "expires_at = now() - interval '2 days', last_seen_at = NULL WHERE id = %s",
            [session_id],
        )


def test_t1_is_durable_and_nothing_is_locked_while_the_gateway_is_called(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    seen: list[str] = []

    def look() -> None:
        attempt = ChargeAttempt.objects.get(session_id=session_id)
        row = UnifiedSession.objects.get(pk=session_id)
        assert attempt.state == State.CLAIMED
        assert (row.status, row.current_step, row.holds) == ("processing", "processing", 1)
        assert IdempotencyRecord.objects.get(session_id=session_id).attempt_id == attempt.pk
        assert SessionEvent.objects.filter(session_id=session_id, kind="charge_started").exists()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM sessions_unified_unifiedsession WHERE id = %s FOR UPDATE NOWAIT",
                [session_id],
            )
            cursor.execute(
                "SELECT id FROM funnel_chargeattempt WHERE id = %s FOR UPDATE NOWAIT", [attempt.pk]
            )
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s))",
                [session_id, database._LOCK_SEED],
            )
            assert cursor.fetchone() == (True,)
        seen.append(attempt.gateway_order_id)

    def meanwhile(sale: Sale) -> None:
        assert not connection.in_atomic_block
        elsewhere(look)

    gateway.meanwhile = meanwhile

    assert pay(session_id).status == 200
    assert seen == [sale.order_id for sale in gateway.calls]
    audit(session_id)


def test_t1_refuses_to_be_part_of_a_larger_transaction(gateway: type[ScriptedGateway]) -> None:
    session_id = start()

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        pay(session_id)

    assert not gateway.calls
    assert states(session_id) == []


def test_what_is_sent_was_chosen_and_stored_before(gateway: type[ScriptedGateway]) -> None:
    session_id = start()

    pay(session_id)

    (sale,) = gateway.calls
    (attempt,) = attempts(session_id)
    assert (sale.order_id, sale.vault_id) == (attempt.gateway_order_id, attempt.vault_id)
    assert (str(sale.amount), sale.currency) == ("25.00", "USD")
    assert sale.payment_token == "tok_approve"
    assert "tok_approve" not in repr(sale)


def test_a_payment_ends_in_one_transaction_of_everything() -> None:
    session_id = start()

    reply = pay(session_id, key="k")

    (attempt,) = attempts(session_id)
    row = UnifiedSession.objects.get(pk=session_id)
    assert reply.status == 200
    assert attempt.state == State.SUCCEEDED
    assert attempt.settled_at is not None
    assert row.transaction_id == attempt.transaction_id
    assert unseal(row.vault_id or "") == attempt.vault_id
    assert position(session_id) == "processing/upsell-1"
    assert answers(session_id) == {"k": 200}
    assert [charge.amount for charge in charges(session_id)] == [25]
    audit(session_id)


def test_a_declined_card_leads_back_to_the_checkout_and_another_card_pays() -> None:
    session_id = start()

    first = pay(session_id, "tok_decline", key="a")
    back = position(session_id)
    second = pay(session_id, key="b")

    assert (first.status, back, second.status) == (402, "pending/checkout", 200)
    assert states(session_id) == [State.DECLINED, State.SUCCEEDED]
    assert answers(session_id) == {"a": 402, "b": 200}
    assert len(charges(session_id)) == 1
    audit(session_id)


def test_a_card_that_the_gateway_does_not_know_is_rejected_not_declined() -> None:
    session_id = start()

    reply = pay(session_id, "tok_nonsense")

    assert (reply.status, data(reply)["code"]) == (402, "payment_rejected")
    assert states(session_id) == [State.REJECTED]
    audit(session_id)


@pytest.mark.parametrize(
    ("card", "charged"), [("tok_timeout_charged", 1), ("tok_timeout_uncharged", 0)]
)
def test_a_timeout_is_not_a_decline(card: str, charged: int) -> None:
    session_id = start()

    first = pay(session_id, card, key="k")
    second = pay(session_id, card, key="k")
    with pytest.raises(ChargeInFlightError):
        pay(session_id, key="other")

    assert first.status == second.status == 202
    assert first.retry_after
    assert states(session_id) == [State.UNKNOWN]
    assert answers(session_id) == {"k": None}
    assert position(session_id) == "processing/processing"
    assert len(charges(session_id)) == charged
    audit(session_id)


@pytest.mark.parametrize("card", ["tok_timeout_charged", "tok_timeout_uncharged"])
def test_a_session_whose_charge_is_open_is_not_expired_purged_or_deleted(card: str) -> None:
    session_id = start()
    pay(session_id, card)
    end_now(session_id)
    manager = get_manager()

    with pytest.raises(SessionHeldError):
        manager.delete_session(session_id)
    with pytest.raises(SessionHeldError):
        manager.expire_session(session_id)
    expired = cleaner(get_tiers()).settle().done
    UnifiedSession.objects.update(updated_at="2020-01-01T00:00Z")
    purged = cleaner(get_tiers()).purge().done

    assert (expired, purged) == (0, 0)
    assert manager.get_session(session_id).status == "processing"
    audit(session_id)


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, ValueError, KeyError])
def test_whatever_a_gateway_raises_leaves_the_outcome_unknown(
    gateway: type[ScriptedGateway], error: type[Exception]
) -> None:
    session_id = start()

    def meanwhile(sale: Sale) -> None:
        raise error

    gateway.meanwhile = meanwhile

    assert pay(session_id).status == 202
    assert states(session_id) == [State.UNKNOWN]
    audit(session_id)


def test_a_claim_whose_lease_is_over_is_never_sent(
    gateway: type[ScriptedGateway], settings: object
) -> None:
    session_id = start()
    settings.FUNNEL = settings.FUNNEL | {"LEASE_SECONDS": 1}

    reply = pay(session_id)

    assert reply.status == 202
    assert not gateway.calls
    assert states(session_id) == [State.UNKNOWN]
    audit(session_id)


def test_a_paid_order_is_answered_by_the_present_session_under_any_key(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = paid()

    again = pay(session_id, "tok_decline")

    assert again.status == 200
    assert data(again)["session"]["status"] == "processing"
    assert len(gateway.calls) == 1
    audit(session_id)


def test_a_session_without_products_has_nothing_to_charge(gateway: type[ScriptedGateway]) -> None:
    session_id = get_manager().create_session(email="ana@example.org").id

    with pytest.raises(NothingToChargeError):
        pay(session_id)

    assert not gateway.calls
    assert position(session_id) == "pending/checkout"


def test_a_session_that_is_not_at_the_checkout_is_not_charged(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    UnifiedSession.objects.filter(pk=session_id).update(status="failed", current_step="upsell-1")

    with pytest.raises(InvalidTransitionError):
        pay(session_id)

    assert not gateway.calls


def test_an_expired_or_a_deleted_session_is_not_charged(gateway: type[ScriptedGateway]) -> None:
    expired, deleted = start(), start()
    end_now(expired)
    get_manager().delete_session(deleted)

    with pytest.raises(SessionExpiredError):
        pay(expired)
    with pytest.raises(SessionNotFoundError):
        pay(deleted)

    assert not gateway.calls


def test_the_amount_is_read_under_the_lock_not_from_a_cache(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    get_manager().get_session(session_id)
    UnifiedSession.objects.filter(pk=session_id).update(amount="99.0000")

    pay(session_id)

    assert [str(sale.amount) for sale in gateway.calls] == ["99.00"]


def test_the_customer_given_at_the_checkout_is_kept_and_sent(
    gateway: type[ScriptedGateway],
) -> None:
    from funnel.checkout import process_checkout

    session_id = start()
    customer = {"firstName": "Ana", "lastName": "M"}

    process_checkout(
        get_manager(),
        session_id,
        key="k",
        payment_token="tok_approve",
        customer=customer,
        email="bea@example.org",
    )

    (sale,) = gateway.calls
    assert (sale.customer, sale.email) == (customer, "bea@example.org")
    assert session_of(session_id).customer == customer
    assert session_of(session_id).email == "bea@example.org"


def test_settling_again_with_the_same_receipt_changes_nothing() -> None:
    session_id = paid()
    (attempt,) = attempts(session_id)
    (charge,) = charges(session_id)
    receipt = Receipt(
        outcome=Outcome.SUCCEEDED,
        transaction_id=charge.transaction_id,
        amount=charge.amount,
        currency=charge.currency,
    )
    before = UnifiedSession.objects.values().get(pk=session_id)

    for _ in range(2):
        assert settling.settle(get_manager(), attempt.pk, receipt).status == 200
    for outcome in (Outcome.DECLINED, Outcome.REJECTED, Outcome.UNKNOWN):
        assert settling.settle(get_manager(), attempt.pk, Receipt(outcome=outcome)).status == 200

    assert UnifiedSession.objects.values().get(pk=session_id) == before
    assert states(session_id) == [State.SUCCEEDED]
    audit(session_id)


def test_an_order_that_changed_since_it_was_shown_is_not_charged() -> None:
    session_id = start()
    manager = get_manager()
    shown = manager.get_session(session_id)
    lines = [{"id": "LAMP", "quantity": 1, "name": "Grow Lamp", "price": "89.00"}]
    manager.update_session(session_id, {"products": lines, "amount": "89.00"})

    with pytest.raises(OrderChangedError):
        process_checkout(manager, session_id, key="k", payment_token="tok_approve", shown=shown)

    assert attempts(session_id) == []
    now = manager.get_session(session_id)
    reply = process_checkout(manager, session_id, key="k2", payment_token="tok_approve", shown=now)
    assert reply.status == 200
    audit(session_id)

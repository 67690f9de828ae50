"""T2: nothing known is lost. Late successes, surplus, amounts that differ, a failing database."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, connection, connections

from funnel.exceptions import ChargeInFlightError, OutcomeUnsettledError
from funnel.payments import settling
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionHeldError,
    SessionNotFoundError,
)
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.charges import (
    State,
    answer,
    answers,
    attempts,
    audit,
    charges,
    paid,
    pay,
    position,
    session_of,
    start,
    states,
)
from tests.gateways import ScriptedGateway
from tests.managing import cleaner

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.payments.gateway import Sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

LOST = "tok_timeout_charged"


def receipt_of(attempt: ChargeAttempt, **changes: Any) -> Receipt:
    """Return what the gateway says of an attempt when it is asked later."""
    found = ScriptedGateway().query(attempt.gateway_order_id)
    assert found is not None
    return Receipt(
        **{name: changes.get(name, getattr(found, name)) for name in found.__dataclass_fields__}
    )


def settle(attempt: ChargeAttempt, receipt: Receipt) -> int:
    return settling.settle(get_manager(), attempt.pk, receipt).status


def learn(session_id: str, number: int = 0, **changes: Any) -> int:
    """Settle an attempt by what the gateway knows of it."""
    attempt = attempts(session_id)[number]
    return settle(attempt, receipt_of(attempt, **changes))


def test_a_late_success_of_the_order_goes_on_to_the_first_upsell() -> None:
    session_id = start()
    pay(session_id, LOST, key="k")

    status = learn(session_id)
    again = learn(session_id)

    assert (status, again) == (200, 200)
    assert states(session_id) == [State.SUCCEEDED]
    assert position(session_id) == "processing/upsell-1"
    assert answers(session_id) == {"k": 200}
    assert pay(session_id, LOST, key="k").status == 200
    assert len(charges(session_id)) == 1
    audit(session_id)


def test_a_late_decline_leads_back_to_the_checkout() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_uncharged", key="k")

    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))

    assert position(session_id) == "pending/checkout"
    assert answers(session_id) == {"k": 402}
    assert pay(session_id).status == 200
    audit(session_id)


def test_a_late_success_completes_even_an_expired_session() -> None:
    session_id = start()
    pay(session_id, LOST)
    attempt = attempts(session_id)[0]
    receipt = receipt_of(attempt)
    settle(attempt, Receipt(outcome=Outcome.DECLINED))  # a person's wrong "not executed"
    get_manager().expire_session(session_id)

    status = settle(attempt, receipt)

    assert status == 200
    assert position(session_id) == "completed/success"
    assert session_of(session_id).transaction_id == receipt.transaction_id
    audit(session_id)


def test_a_late_success_after_a_wrong_decline_settles_if_nothing_else_is_paid() -> None:
    session_id = start()
    pay(session_id, LOST)
    attempt = attempts(session_id)[0]
    settle(attempt, Receipt(outcome=Outcome.DECLINED))

    learn(session_id)

    assert position(session_id) == "processing/upsell-1"
    audit(session_id)


def test_an_answer_that_nothing_was_charged_does_not_outlive_its_truth() -> None:
    session_id = start()
    pay(session_id, LOST, key="k")
    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))
    before = pay(session_id, LOST, key="k").status

    learn(session_id, amount=Decimal(1))
    doubtful = pay(session_id, LOST, key="k").status
    learn(session_id)

    assert (before, doubtful, pay(session_id, LOST, key="k").status) == (402, 202, 200)
    audit(session_id)


def test_a_success_of_a_deleted_session_is_kept_for_a_refund() -> None:
    session_id = start()
    pay(session_id, LOST)
    attempt = attempts(session_id)[0]
    settle(attempt, Receipt(outcome=Outcome.DECLINED))
    get_manager().delete_session(session_id)

    for _ in range(2):
        with pytest.raises(SessionNotFoundError):
            learn(session_id)

    attempt.refresh_from_db()
    assert attempt.state == State.SURPLUS
    assert attempt.transaction_id == charges(session_id)[0].transaction_id


@pytest.mark.parametrize("state", [State.REFUNDED, State.VOIDED, State.SURPLUS])
def test_what_a_person_has_closed_is_not_paid_again_by_a_repeated_success(state: str) -> None:
    session_id = start()
    pay(session_id)
    ChargeAttempt.objects.update(state=state)
    before = session_of(session_id)

    learn(session_id)

    assert states(session_id) == [state]
    assert session_of(session_id) == before


def surplus() -> str:
    """Return a session whose first card was believed declined and whose second one paid."""
    session_id = start()
    pay(session_id, LOST)
    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))
    pay(session_id)
    return session_id


def test_a_second_success_is_surplus_never_dropped_and_never_the_order() -> None:
    session_id = surplus()
    before = session_of(session_id).transaction_id

    learn(session_id)
    learn(session_id)

    assert states(session_id) == [State.SURPLUS, State.SUCCEEDED]
    assert session_of(session_id).transaction_id == before
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_a_second_success_of_another_amount_is_surplus_too() -> None:
    session_id = surplus()

    learn(session_id, amount=Decimal(1))

    assert states(session_id) == [State.SURPLUS, State.SUCCEEDED]


def test_a_success_beside_an_open_attempt_is_surplus() -> None:
    session_id = start()
    pay(session_id, LOST)
    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))
    pay(session_id, "tok_timeout_uncharged")

    learn(session_id)

    assert states(session_id) == [State.SURPLUS, State.UNKNOWN]
    audit(session_id)


def test_a_success_beside_an_open_attempt_is_not_forgotten_when_that_one_is_declined() -> None:
    session_id = start()
    pay(session_id, LOST, key="first")
    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))
    pay(session_id, "tok_timeout_uncharged", key="second")
    learn(session_id)

    settle(attempts(session_id)[1], Receipt(outcome=Outcome.DECLINED))

    assert states(session_id) == [State.NEEDS_REVIEW, State.DECLINED]
    assert position(session_id) == "processing/processing"
    assert answers(session_id) == {"first": None, "second": 402}
    with pytest.raises(ChargeInFlightError):
        pay(session_id)
    audit(session_id)
    learn(session_id)
    assert position(session_id) == "processing/upsell-1"
    assert len(charges(session_id)) == 1
    audit(session_id)


def test_an_extra_charged_beside_an_open_attempt_is_not_charged_again() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    for number in (1, 2):
        answer(session_id, "upsell-1-serum")
        if number == 1:
            settle(attempts(session_id)[1], Receipt(outcome=Outcome.DECLINED))
    learn(session_id, 1)
    SandboxCharge.objects.filter(order_id=attempts(session_id)[2].gateway_order_id).delete()

    settle(attempts(session_id)[2], Receipt(outcome=Outcome.DECLINED))

    assert states(session_id)[1:] == [State.NEEDS_REVIEW, State.DECLINED]
    with pytest.raises(ChargeInFlightError):
        answer(session_id, "upsell-1-serum")
    audit(session_id)


def test_an_answer_with_another_attempts_transaction_needs_review(
    gateway: type[ScriptedGateway],
) -> None:
    before = session_of(paid()).transaction_id
    session_id = start()
    gateway.change = lambda receipt: msgspec_replace(receipt, transaction_id=before)

    status = pay(session_id, key="k").status

    (attempt,) = attempts(session_id)
    assert (status, attempt.state, attempt.transaction_id) == (202, State.NEEDS_REVIEW, None)
    assert attempt.response["sharedTransactionId"] == before
    assert pay(session_id, key="k").status == 202
    audit(session_id)


def test_a_transaction_that_another_attempt_takes_a_moment_before_is_seen_by_the_next_try(
    failing: Any, gateway: type[ScriptedGateway]
) -> None:
    session_id = start()
    failing(IntegrityError, 1)

    assert pay(session_id).status == 200
    assert len(gateway.calls) == 1
    audit(session_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Decimal("24.99")},
        {"amount": Decimal("2500.00")},
        {"currency": "EUR"},
        {"transaction_id": None},
    ],
)
def test_a_success_that_is_not_of_what_was_sent_needs_review_and_is_never_settled(
    changes: dict[str, Any],
) -> None:
    session_id = start()
    pay(session_id, LOST, key="k")

    status = learn(session_id, **changes)
    expired = cleaner(get_tiers()).settle().done

    assert status == 202
    assert states(session_id) == [State.NEEDS_REVIEW]
    assert position(session_id) == "processing/processing"
    assert answers(session_id) == {"k": None}
    assert pay(session_id, LOST, key="k").status == 202
    with pytest.raises(ChargeInFlightError):
        pay(session_id)
    with pytest.raises(SessionHeldError):
        get_manager().delete_session(session_id)
    assert expired == 0
    audit(session_id)


def test_an_answer_of_another_amount_needs_review_at_once(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()

    gateway.change = lambda receipt: msgspec_replace(receipt, amount=Decimal("0.01"))

    assert pay(session_id).status == 202
    assert states(session_id) == [State.NEEDS_REVIEW]
    audit(session_id)


def msgspec_replace(receipt: Receipt, **changes: Any) -> Receipt:
    from dataclasses import replace

    return replace(receipt, **changes)


def test_a_closed_attempt_that_needs_review_after_all_holds_the_session_again() -> None:
    session_id = start()
    pay(session_id, LOST)
    settle(attempts(session_id)[0], Receipt(outcome=Outcome.DECLINED))

    learn(session_id, amount=Decimal(1))
    audit(session_id)
    learn(session_id)

    assert states(session_id) == [State.SUCCEEDED]
    audit(session_id)


def test_nothing_known_is_ever_unlearned() -> None:
    session_id = start()
    pay(session_id, LOST)
    attempt = attempts(session_id)[0]
    learn(session_id, amount=Decimal(1))

    settle(attempt, Receipt(outcome=Outcome.UNKNOWN))

    assert states(session_id) == [State.NEEDS_REVIEW]
    audit(session_id)


def test_a_late_upsell_is_added_once_wherever_the_shopper_is() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    assert answer(session_id, "upsell-1-serum").status == 202
    get_manager().update_session(session_id, {"current_step": "upsell-2"})

    for _ in range(3):
        assert learn(session_id, 1) == 200

    session = session_of(session_id)
    assert session.upsells.accepted == ("upsell-1-serum",)
    assert position(session_id) == "processing/upsell-2"
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_a_late_upsell_is_added_to_a_completed_and_to_an_expired_session() -> None:
    for ending in ("completed", "expired"):
        session_id = paid("tok_approve_upsell_timeout_charged")
        answer(session_id, "upsell-1-serum")
        UnifiedSession.objects.filter(pk=session_id).update(status=ending, current_step="success")

        learn(session_id, 1)

        row = UnifiedSession.objects.get(pk=session_id)
        assert row.upsells["accepted"] == ["upsell-1-serum"]
        assert row.status == ending
        audit(session_id)


def test_a_late_upsell_at_its_own_step_ends_the_step() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, "upsell-1-serum", key="u")

    learn(session_id, 1)

    assert position(session_id) == "processing/upsell-2"
    assert answers(session_id)["u"] == 200
    audit(session_id)


def test_a_late_upsell_overrules_the_decline_that_came_meanwhile() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, "upsell-1-serum")
    answer(session_id, "upsell-1-serum", "decline")
    assert session_of(session_id).upsells.declined == ("upsell-1-serum",)

    learn(session_id, 1)

    upsells = session_of(session_id).upsells
    assert (upsells.accepted, upsells.declined) == (("upsell-1-serum",), ())
    audit(session_id)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Exception], int], list[int]]:
    """Return a function that makes T2's writes fail a number of times."""

    def fail(error: type[Exception], times: int) -> list[int]:
        left = [times]
        record = settling._record

        def broken(*args: Any) -> None:
            record(*args)
            if left[0]:
                left[0] -= 1
                raise error

        monkeypatch.setattr(settling, "_record", broken)
        return left

    return fail


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DatabaseUnavailableError])
def test_t2_is_repeated_with_the_receipt_in_hand_never_the_charge(
    gateway: type[ScriptedGateway], failing: Any, error: type[Exception]
) -> None:
    session_id = start()
    left = failing(error, 2)

    reply = pay(session_id)

    assert reply.status == 200
    assert left == [0]
    assert len(gateway.calls) == len(charges(session_id)) == 1
    audit(session_id)


def test_a_database_that_stays_away_leaves_the_attempt_open_and_the_answer_honest(
    gateway: type[ScriptedGateway], failing: Any
) -> None:
    session_id = start()
    failing(OperationalError, 99)

    with pytest.raises(OutcomeUnsettledError) as raised:
        pay(session_id, key="k")

    assert "Nothing was" not in str(raised.value)
    assert states(session_id) == [State.CLAIMED]
    with pytest.raises(ChargeInFlightError):
        pay(session_id, key="k")
    with pytest.raises(ChargeInFlightError):
        pay(session_id, key="k2")
    assert len(gateway.calls) == 1
    with pytest.raises(SessionHeldError):
        get_manager().delete_session(session_id)


def test_a_connection_that_dies_during_the_call_is_replaced_for_t2(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    (pid,) = _row("SELECT pg_backend_pid()")

    def kill(sale: Sale) -> None:
        def run() -> None:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)

    def meanwhile(sale: Sale) -> None:
        # The sandbox books over this thread's connection, so it must die after that.
        gateway.change = lambda receipt: (kill(sale), receipt)[1]

    gateway.meanwhile = meanwhile

    assert pay(session_id).status == 200
    assert len(gateway.calls) == 1
    audit(session_id)


def _row(sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def test_the_structs_of_a_snapshot_survive_what_a_late_success_writes() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, "upsell-1-serum")
    learn(session_id, 1)

    encoded = msgspec.json.encode(session_of(session_id))

    assert b'"upsell-1-serum":{"amount":29.99,"currency":"USD"' in encoded

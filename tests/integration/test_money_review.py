"""Money that comes late, beside other money: nothing is bought twice, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from funnel.catalog import price
from funnel.checkout import process_checkout
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.recovering import ask_due
from funnel.payments.settling import settle
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.charges import (
    State,
    answer,
    attempts,
    audit,
    paid,
    pay,
    position,
    session_of,
    start,
    states,
)
from tests.gateways import ReversingGateway, taking
from tests.refunds import audit_refunds, order_of, refund, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.models import ChargeAttempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

LOST = "tok_timeout_charged"
NEVER = "tok_timeout_uncharged"
SERUM = "upsell-1-serum"
DECLINED = Receipt(outcome=Outcome.DECLINED)


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[type[ReversingGateway]]:
    yield from taking(ReversingGateway, settings)


def learn(attempt: ChargeAttempt, **changes: Any) -> None:
    """Settle an attempt by what the gateway knows of it."""
    found = ReversingGateway().query(attempt.gateway_order_id)
    assert found is not None
    settle(get_manager(), attempt.pk, replace(found, **changes))


def wrongly_declined(session_id: str, **options: Any) -> ChargeAttempt:
    """Charge the order, and believe that it was declined."""
    pay(session_id, LOST, **options)
    attempt = attempts(session_id)[-1]
    settle(get_manager(), attempt.pk, DECLINED)
    return attempt


# What was bought and given back


@pytest.mark.parametrize("is_void", [False, True])
def test_a_late_success_of_an_order_that_was_given_back_is_surplus(is_void: bool) -> None:
    session_id = start()
    late = wrongly_declined(session_id)
    pay(session_id)
    refund(attempts(session_id)[1], is_void=is_void)
    before = session_of(session_id)

    learn(late)

    after = session_of(session_id)
    assert states(session_id) == [State.SURPLUS, State.VOIDED if is_void else State.REFUNDED]
    assert (after.transaction_id, after.current_step) == (
        before.transaction_id,
        before.current_step,
    )
    assert total(session_id).owed == 25
    audit_refunds(session_id)
    refund(late)
    assert states(session_id)[0] == State.REFUNDED
    events = SessionEvent.objects.filter(session_id=session_id, data__has_key="refund")
    assert [each.data.get("surplus") for each in events.order_by("seq")] == [None, True]
    audit_refunds(session_id)


def test_a_late_success_of_an_extra_that_was_given_back_is_surplus() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, SERUM)
    late = attempts(session_id)[1]
    settle(get_manager(), late.pk, DECLINED)
    answer(session_id, SERUM)
    learn(attempts(session_id)[2])
    refund(attempts(session_id)[2])

    learn(late)

    assert states(session_id)[1:] == [State.SURPLUS, State.REFUNDED]
    assert session_of(session_id).upsells.accepted == (SERUM,)
    audit_refunds(session_id)


def test_an_order_whose_surplus_was_given_back_can_still_be_paid() -> None:
    session_id = start()
    late = wrongly_declined(session_id)
    pay(session_id, NEVER)
    learn(late)
    refund(late)
    settle(get_manager(), attempts(session_id)[1].pk, DECLINED)

    assert position(session_id) == "pending/checkout"
    assert pay(session_id).status == 200

    assert states(session_id) == [State.REFUNDED, State.DECLINED, State.SUCCEEDED]
    assert position(session_id) == "processing/upsell-1"
    audit(session_id)
    audit_refunds(session_id)


def test_a_surplus_that_is_being_given_back_does_not_come_into_review(
    gateway: type[ReversingGateway],
) -> None:
    session_id = start()
    late = wrongly_declined(session_id)
    pay(session_id, NEVER)
    learn(late)

    def lose(_: Receipt) -> Receipt:
        raise TimeoutError

    gateway.answer = lose
    refund(late)
    settle(get_manager(), attempts(session_id)[1].pk, DECLINED)
    gateway.answer = None
    Refund.objects.update(lease_until=get_clock().now(), next_check_at=get_clock().now())
    ask_due(get_clock().now())

    row = UnifiedSession.objects.get(pk=session_id)
    assert states(session_id) == [State.REFUNDED, State.DECLINED]
    assert (row.holds, position(session_id)) == (0, "pending/checkout")
    assert total(session_id).net == 0
    audit_refunds(session_id)


# What says less does not overrule what says more


@pytest.mark.parametrize("wrong", [{"amount": Decimal("0.01")}, {"currency": "EUR"}])
def test_an_answer_without_an_amount_does_not_overrule_one_of_another(
    wrong: dict[str, Any],
) -> None:
    session_id = start()
    pay(session_id, LOST)
    attempt = order_of(session_id)
    learn(attempt, **wrong)

    learn(attempt, amount=None, currency=None)

    assert states(session_id) == [State.NEEDS_REVIEW]
    assert position(session_id) == "processing/processing"
    audit(session_id)
    learn(attempt)
    assert states(session_id) == [State.SUCCEEDED]


# The order that was charged is the order that is handed on


def test_a_late_success_brings_back_the_order_that_it_paid() -> None:
    session_id = start()
    late = wrongly_declined(session_id)
    lines, amount, _ = price([{"id": "LAMP", "quantity": 1}])
    get_manager().update_session(session_id, {"products": list(lines), "amount": amount})

    learn(late)

    session = session_of(session_id)
    assert session.amount == Decimal("25.00")
    assert [(each.id, each.quantity, each.price) for each in session.products] == [
        ("SOIL", 2, Decimal("12.50"))
    ]
    assert position(session_id) == "processing/upsell-1"
    audit(session_id)


def test_bumps_come_back_as_bumps() -> None:
    session_id = start()
    process_checkout(get_manager(), session_id, key="k", payment_token=LOST, bumps=["bump-labels"])
    late = order_of(session_id)
    settle(get_manager(), late.pk, DECLINED)
    before = session_of(session_id)
    get_manager().update_session(
        session_id, {"products": [{"id": "SOIL", "quantity": 2}], "amount": Decimal(25)}
    )

    learn(late)

    after = session_of(session_id)
    assert (after.products, after.amount) == (before.products, before.amount)
    audit(session_id)

"""Giving money back: written first, sent once, settled once; also after the session is gone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connections

from funnel.conf import get_conf
from funnel.exceptions import OfferClosedError, OutcomeUnsettledError, RefundRefusedError
from funnel.payments.gateway import Outcome, Receipt, get_gateway
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.checking import check
from funnel.payments.refunds import refunding
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.noting import Told, note_reversal
from funnel.payments.refunds.recovering import ask_due
from funnel.payments.refunds.refunding import new_key, request
from funnel.payments.refunds.resolving import resolve_refund
from funnel.payments.refunds.settling import settle_refund
from funnel.payments.settling import settle
from funnel.tasks import ask_gateway
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import InvalidTransitionError
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.charges import answer, attempts, charges, paid, pay, position, session_of, start
from tests.gateways import ReversingGateway, taking
from tests.refunds import audit_refunds, booked, order_of, refund, staff, total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.gateway import Reversal

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

SERUM = "upsell-1-serum"
ALL = Decimal("25.00")


@pytest.fixture(autouse=True)
def gateway(settings: SettingsWrapper) -> Iterator[type[ReversingGateway]]:
    yield from taking(ReversingGateway, settings)


def lose(_: Receipt) -> Receipt:
    raise TimeoutError


def say(outcome: Outcome, **changes: Any) -> Callable[[Receipt], Receipt]:
    return lambda _: Receipt(outcome=outcome, **changes)


def refund_events(session_id: str) -> list[tuple[str, dict[str, Any]]]:
    kinds = ["charge_refunded", "charge_voided"]
    events = SessionEvent.objects.filter(session_id=session_id, kind__in=kinds).order_by("seq")
    return [(event.kind, event.data) for event in events]


def purge(session_id: str) -> None:
    UnifiedSession.objects.filter(pk=session_id).delete()


def later(seconds: float = 3600) -> Any:
    return get_clock().now() + timedelta(seconds=seconds)


def told(attempt: ChargeAttempt, **changes: Any) -> Refund | None:
    given = {"kind": "refund", "transaction_id": "console-1"} | changes
    return note_reversal(get_manager(), attempt, Told(**given))


# Asked for by staff


def test_a_whole_charge_is_given_back(gateway: type[ReversingGateway]) -> None:
    session_id = paid()

    done = refund(order_of(session_id))

    assert (done.state, done.money, done.requested_by) == ("succeeded", ALL, "staff:1")
    assert order_of(session_id).state == "refunded"
    (sent,) = gateway.reversals
    assert (sent.order_id, sent.amount, sent.currency) == (done.gateway_order_id, ALL, "USD")
    assert (sent.transaction_id, sent.is_void) == (order_of(session_id).transaction_id, False)
    assert booked(order_of(session_id)) == [("charge", "25"), ("refund", "-25")]
    assert refund_events(session_id) == [
        (
            "charge_refunded",
            {
                "purpose": "checkout",
                "amount": "25.00",
                "currency": "USD",
                "kind": "refund",
                "refund": done.gateway_order_id,
            },
        )
    ]
    audit_refunds(session_id)


def test_a_part_and_then_the_rest() -> None:
    session_id = paid()

    refund(order_of(session_id), lines={0: Decimal("10.01")})

    assert order_of(session_id).state == "succeeded"
    assert total(session_id).net == Decimal("14.99")
    audit_refunds(session_id)

    rest = refund(order_of(session_id))

    assert rest.money == Decimal("14.99")
    assert order_of(session_id).state == "refunded"
    assert [data["amount"] for _, data in refund_events(session_id)] == ["10.01", "14.99"]
    audit_refunds(session_id)


def test_a_void_takes_the_whole_charge_back(gateway: type[ReversingGateway]) -> None:
    session_id = paid()

    done = refund(order_of(session_id), is_void=True)

    assert (done.kind, done.state) == ("void", "succeeded")
    assert gateway.reversals[0].is_void
    assert order_of(session_id).state == "voided"
    assert booked(order_of(session_id)) == [("charge", "25"), ("void", "-25")]
    assert [kind for kind, _ in refund_events(session_id)] == ["charge_voided"]
    audit_refunds(session_id)


def test_a_part_is_never_voided(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    order = order_of(session_id)

    with pytest.raises(RefundRefusedError, match="Only a whole charge"):
        refund(order, lines={0: Decimal(5)}, is_void=True)
    refund(order, lines={0: Decimal(5)})
    with pytest.raises(RefundRefusedError, match="Only a whole charge"):
        refund(order, is_void=True)

    assert len(gateway.reversals) == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({0: Decimal("25.01")}, "Only 25.00 USD of Living Soil 5L"),
        ({0: Decimal(0)}, "above 0"),
        ({0: Decimal(-1)}, "above 0"),
        ({0: Decimal("NaN")}, "above 0"),
        ({0: Decimal("Infinity")}, "above 0"),
        ({0: Decimal("1.005")}, "USD has 2 decimals"),
        ({1: Decimal(1)}, "no line 1"),
        ({}, "Only 25.00 USD of the charge"),
    ],
)
def test_what_cannot_be_given_back_is_not_sent(
    gateway: type[ReversingGateway], lines: dict[int, Decimal], message: str
) -> None:
    session_id = paid()

    with pytest.raises(RefundRefusedError, match=message):
        refund(order_of(session_id), lines=lines)

    assert gateway.reversals == []
    assert not Refund.objects.exists()


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_reason_is_asked_for(reason: str) -> None:
    session_id = paid()

    with pytest.raises(RefundRefusedError, match="Say why"):
        refund(order_of(session_id), reason=reason)


def test_nothing_is_given_back_twice() -> None:
    session_id = paid()
    refund(order_of(session_id))

    with pytest.raises(RefundRefusedError, match="refunded cannot be given back"):
        refund(order_of(session_id))

    audit_refunds(session_id)


@pytest.mark.parametrize("card", ["tok_decline", "tok_timeout_charged"])
def test_what_is_not_known_to_be_charged_is_not_given_back(
    gateway: type[ReversingGateway], card: str
) -> None:
    session_id = start()
    pay(session_id, card)

    with pytest.raises(RefundRefusedError, match="cannot be given back"):
        refund(order_of(session_id))

    assert gateway.reversals == []


def test_another_shops_charge_is_not_ours_to_give_back() -> None:
    session_id = paid()
    attempt = order_of(session_id)
    attempt.gateway = "imported"
    attempt.save()

    with pytest.raises(RefundRefusedError, match="Another shop system"):
        refund(attempt)


def test_a_gateway_that_gives_nothing_back_is_not_asked(settings: SettingsWrapper) -> None:
    session_id = paid()
    ChargeAttempt.objects.update(gateway="gone")

    with pytest.raises(RefundRefusedError, match="cannot give this back"):
        refund(order_of(session_id))


@pytest.mark.django_db(transaction=True)
def test_two_at_once_give_back_once(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    order = order_of(session_id)
    barrier = threading.Barrier(2)
    outcomes: list[object] = []

    def click() -> None:
        barrier.wait()
        try:
            outcomes.append(refund(order).state)
        except RefundRefusedError as exc:
            outcomes.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.count("succeeded") == 1
    assert len(gateway.reversals) == 1
    audit_refunds(session_id)


def test_a_second_waits_for_the_first(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    gateway.answer = lose

    first = refund(order_of(session_id), lines={0: Decimal(5)})

    assert first.state == "unknown"
    with pytest.raises(RefundRefusedError, match="under way"):
        refund(order_of(session_id), lines={0: Decimal(5)})
    assert len(gateway.reversals) == 1


def test_a_form_sent_twice_is_done_once(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    order, key = order_of(session_id), new_key()

    first = refund(order, key=key)
    second = refund(order, key=key)

    assert first == second
    assert len(gateway.reversals) == 1
    with pytest.raises(RefundRefusedError, match="other content"):
        refund(order, key=key, lines={0: Decimal(1)})
    with pytest.raises(RefundRefusedError, match="other content"):
        refund(order, key=key, is_void=True)
    with pytest.raises(RefundRefusedError, match="broken"):
        refund(order, key="x")


# Answers of every kind


@pytest.mark.parametrize("outcome", [Outcome.DECLINED, Outcome.REJECTED])
def test_a_refusal_leaves_the_charge_as_it_was(
    gateway: type[ReversingGateway], outcome: Outcome
) -> None:
    session_id = paid()
    gateway.answer, gateway.executes = say(outcome, reason="Too old"), False

    refused = refund(order_of(session_id))

    assert (refused.state, refused.reason) == ("refused", "Too old")
    assert order_of(session_id).state == "succeeded"
    assert refund_events(session_id) == []
    audit_refunds(session_id)

    gateway.answer, gateway.executes = None, True
    assert refund(order_of(session_id)).state == "succeeded"
    audit_refunds(session_id)


@pytest.mark.parametrize("wrong", [{"amount": Decimal("24.99")}, {"currency": "EUR"}])
def test_another_amount_than_asked_is_left_to_a_person(
    gateway: type[ReversingGateway], wrong: dict[str, Any]
) -> None:
    session_id = paid()
    gateway.answer = say(Outcome.SUCCEEDED, transaction_id="r1", **wrong)

    found = refund(order_of(session_id))

    assert found.state == "needs_review"
    assert found.review_since is not None
    assert booked(order_of(session_id)) == [("charge", "25")]
    assert total(session_id).owed == ALL


def test_two_refunds_under_one_order_are_noted_on_the_charge(
    gateway: type[ReversingGateway],
) -> None:
    session_id = paid()
    twice = f"2 transactions of this order succeeded: {'1' * 200}"
    gateway.answer = lambda receipt: replace(receipt, discrepancy=twice)

    done = refund(order_of(session_id))

    assert done.state == "succeeded"
    assert order_of(session_id).discrepancy == f"Refund {done.pk}: {twice}"[:200]
    audit_refunds(session_id)


def test_a_lost_answer_is_asked_for_and_never_sent_again(
    gateway: type[ReversingGateway],
) -> None:
    session_id = paid()
    gateway.answer = lose
    lost = refund(order_of(session_id))
    assert lost.state == "unknown"

    assert ask_due(get_clock().now()) == 0
    assert ask_due(later()) == 1

    lost.refresh_from_db()
    assert (lost.state, order_of(session_id).state) == ("succeeded", "refunded")
    assert len(gateway.reversals) == 1
    assert ask_due(later()) == 0
    audit_refunds(session_id)


def test_the_sweeper_asks_for_refunds_too(
    gateway: type[ReversingGateway], settings: SettingsWrapper
) -> None:
    settings.FUNNEL = settings.FUNNEL | {"CHECK_SECONDS": 0}
    session_id = paid()
    gateway.answer = lose
    refund(order_of(session_id))

    assert ask_gateway() == 1

    assert order_of(session_id).state == "refunded"


def test_a_process_that_died_after_writing_it_down(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    died = request(staff(), order_of(session_id).pk, reason="Broken pot").refund

    assert ask_due(get_clock().now()) == 0
    with pytest.raises(RefundRefusedError, match="under way"):
        refund(order_of(session_id))
    asked = [ask_due(later(3600 * n)) for n in range(1, get_conf().CHECKS_BEFORE_REVIEW + 2)]

    died.refresh_from_db()
    assert asked == [1] * get_conf().CHECKS_BEFORE_REVIEW + [0]
    assert (died.state, died.next_check_at) == ("needs_review", None)
    assert gateway.reversals == []
    assert total(session_id).owed == ALL


def test_a_process_that_died_after_sending_it(
    gateway: type[ReversingGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = paid()

    def die(*_: object) -> Refund:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(refunding, "settle_refund", die)
        with pytest.raises(SystemExit):
            refund(order_of(session_id))
    ask_due(later())

    assert order_of(session_id).state == "refunded"
    assert len(gateway.reversals) == 1
    audit_refunds(session_id)


@pytest.mark.django_db(transaction=True)
def test_the_database_failing_at_the_answer_costs_no_second_call(
    gateway: type[ReversingGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, tries = paid(), []

    def fail_twice(*args: Any) -> Refund:
        tries.append(args)
        if len(tries) < 3:
            raise OperationalError
        return settle_refund(*args)

    monkeypatch.setattr(refunding, "settle_refund", fail_twice)
    done = refund(order_of(session_id))

    assert done.state == "succeeded"
    assert len(gateway.reversals) == 1


@pytest.mark.django_db(transaction=True)
def test_the_database_gone_at_the_answer_leaves_it_open(
    gateway: type[ReversingGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = paid()

    def fail(*_: object) -> Refund:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(refunding, "settle_refund", fail)
        with pytest.raises(OutcomeUnsettledError):
            refund(order_of(session_id))

    assert Refund.objects.get().state == "claimed"
    ask_due(later())
    assert len(gateway.reversals) == 1
    audit_refunds(session_id)


def test_a_question_is_put_off_before_it_is_asked(
    gateway: type[ReversingGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = paid()
    gateway.answer = lose
    refund(order_of(session_id))
    now, nested = later(), []

    def query(_: object, __: object) -> Receipt | None:
        nested.append(ask_due(now))
        return None

    monkeypatch.setattr(gateway, "query_reversal", query)

    assert ask_due(now) == 1
    assert nested == [0]


def test_a_gateway_that_cannot_be_reached_is_left_in_peace_and_nobody_is_sent_for(
    gateway: type[ReversingGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.answer = lose
    for _ in range(5):
        refund(order_of(paid()))
    asked: list[Reversal] = []

    def unreachable(_: object, reversal: Reversal) -> Receipt | None:
        asked.append(reversal)
        raise OSError

    monkeypatch.setattr(gateway, "query_reversal", unreachable)

    assert ask_due(later()) == 3
    for hours in range(1, 10):
        ask_due(later(3600 * hours))

    assert len(asked) > 2 * get_conf().CHECKS_BEFORE_REVIEW
    assert set(Refund.objects.values_list("state", "checks")) == {("unknown", 0)}


def test_a_run_of_no_time_asks_for_nothing(gateway: type[ReversingGateway]) -> None:
    gateway.answer = lose
    refund(order_of(paid()))

    assert ask_due(later(), seconds=0) == 0


def test_one_that_cannot_be_asked_for_does_not_stop_the_rest(
    gateway: type[ReversingGateway],
) -> None:
    gateway.answer = lose
    broken, whole = paid(), paid()
    refund(order_of(broken))
    refund(order_of(whole))
    Refund.objects.filter(attempt=order_of(broken)).update(gateway="gone")

    assert ask_due(later()) == 2

    assert [order_of(each).state for each in (broken, whole)] == ["succeeded", "refunded"]


# A person decides


def in_review(gateway: type[ReversingGateway]) -> tuple[str, Refund]:
    session_id = paid()
    gateway.answer = say(Outcome.SUCCEEDED, transaction_id="r1", amount=Decimal(1))
    return session_id, refund(order_of(session_id))


def test_a_person_says_that_it_was_executed(gateway: type[ReversingGateway]) -> None:
    session_id, found = in_review(gateway)

    settled = resolve_refund(staff(), found.pk, transaction_id=" r1 ", reason="In the console")

    assert (settled.state, settled.transaction_id) == ("succeeded", "r1")
    assert (settled.resolved_by, settled.resolved_reason) == ("staff:1", "In the console")
    assert order_of(session_id).state == "refunded"
    audit_refunds(session_id)
    with pytest.raises(RefundRefusedError, match="not in review"):
        resolve_refund(staff(), found.pk, transaction_id="r2", reason="Again")


def test_not_executed_is_said_only_after_a_while(
    gateway: type[ReversingGateway], settings: SettingsWrapper
) -> None:
    session_id, found = in_review(gateway)

    with pytest.raises(RefundRefusedError, match="too early"):
        resolve_refund(staff(), found.pk, transaction_id=None, reason="Not there")
    settings.FUNNEL = settings.FUNNEL | {"REVIEW_SECONDS": 0}
    settled = resolve_refund(staff(), found.pk, transaction_id=None, reason="Not there")

    assert (settled.state, settled.resolved_reason) == ("refused", "Not there")
    assert order_of(session_id).state == "succeeded"
    assert total(session_id).owed == 0


def test_a_transaction_of_something_else_settles_nothing(
    gateway: type[ReversingGateway],
) -> None:
    gateway.answer = None
    other = refund(order_of(paid()))
    session_id, found = in_review(gateway)

    for transaction_id in (other.transaction_id, order_of(session_id).transaction_id, " "):
        with pytest.raises(RefundRefusedError, match=r"of another|Give the gateway's"):
            resolve_refund(staff(), found.pk, transaction_id=transaction_id, reason="x")
    with pytest.raises(RefundRefusedError, match="Say how"):
        resolve_refund(staff(), found.pk, transaction_id="r1", reason=" ")


# The embedded gateway


@pytest.mark.parametrize("is_void", [False, True])
def test_the_sandbox_gives_back(settings: SettingsWrapper, is_void: bool) -> None:
    settings.FUNNEL = settings.FUNNEL | {"GATEWAY": "funnel.payments.sandbox.SandboxGateway"}
    session_id = paid()

    done = refund(order_of(session_id), is_void=is_void)

    assert done.state == "succeeded"
    reversal = get_gateway().query_reversal(refunding.reversal_of(done))
    assert reversal is not None
    assert reversal.outcome in {Outcome.SUCCEEDED, Outcome.VOIDED}
    assert reversal.amount in {None, ALL}
    assert check(session_id) == []


# What the gateway tells


def test_a_refund_made_at_the_gateways_console_is_recorded() -> None:
    session_id = paid()

    found = told(order_of(session_id), amount=Decimal("5.00"), order_id="console")

    assert found is not None
    assert (found.state, found.requested_by, found.money) == (
        "succeeded",
        "gateway",
        Decimal("5.00"),
    )
    assert booked(order_of(session_id)) == [("charge", "25"), ("refund", "-5")]
    assert told(order_of(session_id), amount=Decimal("5.00"), order_id="console") == found
    assert len(refund_events(session_id)) == 1
    audit_refunds(session_id)


def test_a_void_made_at_the_console_is_recorded_once() -> None:
    session_id = paid()
    sale = str(order_of(session_id).transaction_id)

    for order_id in (None, order_of(session_id).gateway_order_id, "other"):
        told(order_of(session_id), kind="void", transaction_id=sale, order_id=order_id)

    assert order_of(session_id).state == "voided"
    assert Refund.objects.count() == 1
    audit_refunds(session_id)


def test_our_refund_told_before_its_answer(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    order = order_of(session_id)

    def webhook_first(receipt: Receipt) -> Receipt:
        (ours,) = gateway.books
        told(order, order_id=ours, transaction_id=receipt.transaction_id, amount=ALL)
        assert order_of(session_id).state == "refunded"
        return receipt

    gateway.answer = webhook_first
    done = refund(order)

    assert done.state == "succeeded"
    assert len(refund_events(session_id)) == 1
    assert Refund.objects.count() == 1
    audit_refunds(session_id)


def test_our_refund_told_without_its_order_id(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    gateway.answer = lose
    lost = refund(order_of(session_id), lines={0: Decimal(5)})

    assert told(order_of(session_id), amount=Decimal(5), transaction_id="r9") == lost

    lost.refresh_from_db()
    assert (lost.state, lost.transaction_id) == ("succeeded", "r9")
    audit_refunds(session_id)


def test_the_consoles_refund_is_not_taken_for_ours(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    first = told(order_of(session_id), amount=Decimal(5), order_id="theirs")
    gateway.answer = lose
    ours = refund(order_of(session_id), lines={0: Decimal(5)})

    assert told(order_of(session_id), amount=Decimal(5)) == first
    assert told(order_of(session_id), amount=Decimal(3), transaction_id="c2") != ours

    ours.refresh_from_db()
    assert ours.state == "unknown"
    ask_due(later())
    assert total(session_id).refunded == Decimal(13)
    audit_refunds(session_id)


def test_a_refused_refund_that_went_back_after_all(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    gateway.answer = say(Outcome.REJECTED)
    refused = refund(order_of(session_id))

    told(order_of(session_id), order_id=refused.gateway_order_id, amount=ALL)

    refused.refresh_from_db()
    assert (refused.state, order_of(session_id).state) == ("succeeded", "refunded")
    audit_refunds(session_id)


def test_more_than_was_charged_is_written_down_as_it_is() -> None:
    session_id = paid()
    refund(order_of(session_id))

    told(order_of(session_id), amount=Decimal(5), order_id="console")

    assert order_of(session_id).discrepancy == "More was given back than was charged"
    assert total(session_id).net == Decimal(-5)
    audit_refunds(session_id)


def test_a_refund_told_in_another_currency_is_for_staff() -> None:
    session_id = paid()

    assert told(order_of(session_id), amount=ALL, currency="EUR") is None

    assert "does not fit" in order_of(session_id).discrepancy
    assert order_of(session_id).state == "succeeded"


def test_a_refund_that_is_voided_is_not_a_void_of_the_charge() -> None:
    session_id = paid()
    done = refund(order_of(session_id), lines={0: Decimal(5)})

    assert told(order_of(session_id), kind="void", transaction_id=done.transaction_id) is None

    assert "does not fit" in order_of(session_id).discrepancy
    assert total(session_id).refunded == 5
    audit_refunds(session_id)


def test_our_void_told_by_the_sales_own_ids(gateway: type[ReversingGateway]) -> None:
    session_id = paid()
    order = order_of(session_id)
    gateway.answer = lose
    lost = refund(order, is_void=True)

    given = {"transaction_id": order.transaction_id, "order_id": order.gateway_order_id}
    assert told(order, kind="void", amount=ALL, **given) == lost

    assert order_of(session_id).state == "voided"
    assert Refund.objects.count() == 1
    audit_refunds(session_id)


def test_a_void_told_before_the_charge_itself() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_charged")
    attempt = order_of(session_id)
    receipt = ReversingGateway().query(attempt.gateway_order_id)
    assert receipt is not None

    told(attempt, kind="void", transaction_id=receipt.transaction_id)
    settle(get_manager(), attempt.pk, receipt)

    assert order_of(session_id).state == "voided"
    assert UnifiedSession.objects.get(pk=session_id).holds == 0
    audit_refunds(session_id)


# Sessions


@pytest.mark.parametrize("end", [purge, lambda s: get_manager().delete_session(s)])
def test_money_goes_back_after_the_session_is_gone(end: Callable[[str], None]) -> None:
    session_id = paid()
    end(session_id)

    done = refund(order_of(session_id))

    assert done.state == "succeeded"
    assert order_of(session_id).state == "refunded"
    assert refund_events(session_id) == []
    audit_refunds(session_id)


def test_a_refunded_extra_stays_accepted_and_is_not_offered_again() -> None:
    session_id = paid()
    answer(session_id, SERUM)
    extra = attempts(session_id)[1]

    refund(extra, lines={0: Decimal(9)})
    partly = session_of(session_id).upsells.details[SERUM]["refundedAmount"]
    refund(extra)

    upsells = session_of(session_id).upsells
    assert partly == 9
    assert upsells.accepted == (SERUM,)
    assert upsells.details[SERUM]["refundedAmount"] == 29.99
    assert position(session_id) == "processing/upsell-2"
    with pytest.raises(OfferClosedError):
        answer(session_id, SERUM)
    assert len(charges(session_id)) == 2
    audit_refunds(session_id)


def test_a_second_charge_of_an_extra_leaves_the_extra_as_it_is() -> None:
    session_id = paid()
    answer(session_id, SERUM)
    second = attempts(session_id)[1]
    second.pk, second.gateway_order_id, second.transaction_id = None, "second", "second"
    second.state = "surplus"
    second.save()

    refund(second)

    assert "refundedAmount" not in session_of(session_id).upsells.details[SERUM]
    assert [each.state for each in attempts(session_id)] == ["succeeded", "succeeded", "refunded"]
    audit_refunds(session_id)


def test_a_refunded_order_is_not_charged_again() -> None:
    session_id = paid()
    refund(order_of(session_id))

    with pytest.raises(InvalidTransitionError):
        pay(session_id)

    assert len(charges(session_id)) == 1


def test_a_surplus_charge_is_owed_until_it_is_given_back(
    gateway: type[ReversingGateway],
) -> None:
    session_id = start()
    pay(session_id, "tok_timeout_charged")
    ChargeAttempt.objects.update(state="declined", settled_at=get_clock().now(), next_check_at=None)
    manager = get_manager()
    with manager.lock_session(session_id) as locked:
        locked.release()
        changes = {"status": "pending", "current_step": "checkout"}
        locked.update(changes, kind="session_updated", checks_flow=False)
    pay(session_id)
    late = attempts(session_id)[0]
    receipt = gateway().query(late.gateway_order_id)
    assert receipt is not None

    settle(manager, late.pk, receipt)

    late.refresh_from_db()
    assert late.state == "surplus"
    assert (total(session_id).charged, total(session_id).owed) == (50, 25)
    audit_refunds(session_id)

    gateway.answer = lose
    refund(late)
    assert total(session_id).owed == 25
    ask_due(later())

    late.refresh_from_db()
    assert late.state == "refunded"
    assert (total(session_id).net, total(session_id).owed) == (25, 0)
    audit_refunds(session_id)

"""The sweeper: what became of charges is asked for, never sent again, and never forgotten."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from funnel.payments import settling
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery import sweeping
from funnel.payments.recovery.sweeping import sweep, take_batch
from funnel.payments.sandbox.models import SandboxCharge
from funnel.tasks import ask_gateway
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
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
    start,
    states,
)
from tests.gateways import taking
from tests.managing import cleaner
from tests.sweeps import QuestionedGateway, make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

LOST = "tok_timeout_charged"
NEVER = "tok_timeout_uncharged"


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[type[QuestionedGateway]]:
    """Take the money by a gateway whose answers to questions are scripted too."""
    yield from taking(QuestionedGateway, settings, CHECKS_BEFORE_REVIEW=3)


def lost(card: str = LOST, **options: Any) -> str:
    """Return a session whose payment's answer was lost."""
    session_id = start()
    assert pay(session_id, card, **options).status == 202
    return session_id


def only(session_id: str) -> ChargeAttempt:
    (attempt,) = attempts(session_id)
    return attempt


def test_a_lost_answer_is_asked_for_and_settled(gateway: type[QuestionedGateway]) -> None:
    session_id = lost(key="k")
    make_due()

    results = sweep()

    assert results == {"settled": 1}
    assert (states(session_id), position(session_id)) == (
        [State.SUCCEEDED],
        "processing/upsell-1",
    )
    assert answers(session_id) == {"k": 200}
    assert len(gateway.calls) == len(charges(session_id)) == 1
    assert only(session_id).next_check_at is None
    event = SessionEvent.objects.get(session_id=session_id, kind="charge_succeeded")
    assert event.actor == "sweeper"
    audit(session_id)


def test_a_lost_extra_is_added_by_the_sweep() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    assert answer(session_id, "upsell-1-serum").status == 202
    make_due()

    sweep()

    assert states(session_id) == [State.SUCCEEDED, State.SUCCEEDED]
    audit(session_id)


def test_an_unknown_charge_is_not_asked_for_before_its_pause(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()

    results = sweep()

    assert (results, gateway.asked) == ({}, [])
    wait = only(session_id).next_check_at - get_clock().now()  # type: ignore[operator]
    assert timedelta(seconds=5) < wait <= timedelta(seconds=15)


def test_a_claimed_charge_is_asked_for_only_after_its_lease(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    now = get_clock().now()
    ChargeAttempt.objects.update(
        state=State.CLAIMED,
        next_check_at=now - timedelta(seconds=1),
        lease_until=now + timedelta(seconds=30),
    )

    early = sweep()
    make_due()
    late = sweep()

    assert (early, late) == ({}, {"settled": 1})
    assert len(gateway.asked) == 1
    assert states(session_id) == [State.SUCCEEDED]


def test_the_next_question_is_put_off_before_this_one_is_asked(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    make_due()
    seen: list[tuple[bool, bool]] = []

    def look(order_id: str) -> Receipt | None:
        due_at = ChargeAttempt.objects.get(gateway_order_id=order_id).next_check_at
        assert due_at is not None
        seen.append((due_at > get_clock().now(), connection.in_atomic_block))
        return None

    gateway.answer = look

    sweep()

    assert seen == [(True, False)]
    assert states(session_id) == [State.UNKNOWN]


def test_a_sweeper_killed_after_taking_leaves_all_to_the_next() -> None:
    session_id = lost()
    make_due()

    assert len(take_batch()) == 1  # and then it is killed
    while_taken = sweep()
    make_due()

    assert while_taken == {}
    assert sweep() == {"settled": 1}
    assert states(session_id) == [State.SUCCEEDED]


def test_inconclusive_answers_back_off_and_end_in_review_once() -> None:
    session_id = lost(NEVER, key="k")
    pauses = []
    for _ in range(3):
        make_due()
        before = get_clock().now()
        sweep()
        due_at = only(session_id).next_check_at
        pauses.append(None if due_at is None else round((due_at - before).total_seconds(), -1))
    make_due()
    after = sweep()

    attempt = only(session_id)
    assert pauses == [30, 60, None]
    assert (attempt.state, attempt.checks, after) == (State.NEEDS_REVIEW, 3, {})
    assert attempt.review_since is not None
    kinds = SessionEvent.objects.filter(session_id=session_id, kind="charge_needs_review")
    assert kinds.count() == 1
    assert answers(session_id) == {"k": None}
    audit(session_id)


def test_an_unknown_receipt_is_inconclusive_too(gateway: type[QuestionedGateway]) -> None:
    session_id = lost()
    gateway.answer = lambda _: Receipt(outcome=Outcome.UNKNOWN)
    make_due()

    assert sweep() == {"inconclusive": 1}
    assert (only(session_id).state, only(session_id).checks) == (State.UNKNOWN, 1)


def test_a_record_that_is_hidden_for_a_while_is_found_later(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    gateway.answer = lambda _: None
    make_due()
    first = sweep()
    gateway.answer = None
    make_due()

    assert (first, sweep()) == ({"inconclusive": 1}, {"settled": 1})
    audit(session_id)


def test_an_explicit_refusal_leads_back_to_the_checkout(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost(NEVER, key="k")
    gateway.answer = lambda _: Receipt(outcome=Outcome.DECLINED, reason="DECLINE")
    make_due()

    sweep()

    assert (position(session_id), answers(session_id)) == ("pending/checkout", {"k": 402})
    audit(session_id)


def test_a_charge_given_back_before_it_was_settled_leads_back_to_the_checkout(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost(key="k")
    gateway.answer = lambda _: Receipt(outcome=Outcome.VOIDED, transaction_id="77")
    make_due()

    sweep()

    row = UnifiedSession.objects.get(pk=session_id)
    assert (states(session_id), row.holds) == ([State.VOIDED], 0)
    assert position(session_id) == "pending/checkout"
    assert SessionEvent.objects.filter(session_id=session_id, kind="charge_voided").count() == 1
    reply = pay(session_id, LOST, key="k")
    assert (reply.status, reply.data["code"]) == (402, "payment_voided")
    assert pay(session_id).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Decimal("0.01")},
        {"currency": "EUR"},
        {"order_id": "fs-another"},
        {"transaction_id": None},
    ],
)
def test_what_does_not_fit_is_never_settled(
    gateway: type[QuestionedGateway], changes: dict[str, Any]
) -> None:
    session_id = lost()
    values = {"amount": Decimal("25.0000"), "currency": "usd", "transaction_id": "77"} | changes
    gateway.answer = lambda _: Receipt(outcome=Outcome.SUCCEEDED, **values)
    make_due()

    assert sweep() == {"review": 1}
    attempt = only(session_id)
    assert attempt.state == State.NEEDS_REVIEW
    assert attempt.discrepancy
    assert position(session_id) == "processing/processing"
    audit(session_id)


def test_amounts_are_compared_by_value_and_currencies_without_case(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    charge = SandboxCharge.objects.get()
    gateway.answer = lambda _: Receipt(
        outcome=Outcome.SUCCEEDED,
        transaction_id=charge.transaction_id,
        amount=charge.amount.normalize(),
        currency="usd",
    )
    make_due()

    assert sweep() == {"settled": 1}
    assert only(session_id).discrepancy == ""


def test_a_gateway_that_cannot_be_reached_backs_off_without_counting(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    ChargeAttempt.objects.update(created_at=get_clock().now() - timedelta(seconds=200))

    def unreachable(_: str) -> Receipt | None:
        raise ConnectionError

    gateway.answer = unreachable
    for _ in range(5):
        make_due()
        assert sweep() == {"unreachable": 1}

    attempt = only(session_id)
    assert (attempt.state, attempt.checks) == (State.UNKNOWN, 0)
    assert attempt.next_check_at is not None
    assert attempt.next_check_at - get_clock().now() > timedelta(seconds=150)


def test_a_gateway_that_fails_again_and_again_is_left_in_peace_for_a_run(
    gateway: type[QuestionedGateway],
) -> None:
    for _ in range(5):
        lost()

    def unreachable(_: str) -> Receipt | None:
        raise ConnectionError

    gateway.answer = unreachable
    make_due()

    assert sweep() == {"unreachable": 3}
    assert len(gateway.asked) == 3


def test_one_that_fails_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [lost() for _ in range(3)]
    broken = only(sessions[0]).pk
    settle = settling.settle

    def fail(manager: Any, attempt_id: int, *args: Any) -> Any:
        if attempt_id == broken:
            raise RuntimeError
        return settle(manager, attempt_id, *args)

    monkeypatch.setattr(sweeping, "settle", fail)
    make_due()

    assert sweep() == {"settled": 2, "failed": 1}
    monkeypatch.undo()
    make_due()
    assert sweep() == {"settled": 1}


def test_an_attempt_of_a_gateway_that_is_not_configured_is_left_and_said(
    gateway: type[QuestionedGateway], caplog: pytest.LogCaptureFixture
) -> None:
    session_id = lost()
    ChargeAttempt.objects.update(gateway="elsewhere")
    make_due()

    assert sweep() == {"unconfigured": 1}
    assert "elsewhere is not configured" in caplog.text
    assert (only(session_id).state, only(session_id).checks) == (State.UNKNOWN, 0)
    assert gateway.asked == []


def test_an_attempt_of_another_configured_gateway_is_asked_there(
    settings: SettingsWrapper,
) -> None:
    session_id = lost()
    settings.FUNNEL = settings.FUNNEL | {
        "GATEWAY": "funnel.payments.nmi.NmiGateway",
        "NMI": {"SECURITY_KEY": "not-a-key"},
    }
    make_due()

    assert sweep() == {"settled": 1}
    assert states(session_id) == [State.SUCCEEDED]


def test_what_another_shop_charged_is_never_asked_for(gateway: type[QuestionedGateway]) -> None:
    lost()
    ChargeAttempt.objects.update(gateway="imported")
    make_due()

    assert (sweep(), gateway.asked) == ({}, [])


def test_two_sweepers_at_once_ask_for_each_charge_once(
    gateway: type[QuestionedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [lost() for _ in range(6)]
    make_due()
    monkeypatch.setattr(sweeping, "BATCH_SIZE", 2)
    both = threading.Barrier(2)

    def run(_: int) -> int:
        both.wait(60)
        try:
            return sweep().total()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        asked = list(pool.map(run, range(2)))

    assert sum(asked) == len(gateway.asked) == len(set(gateway.asked)) == 6
    for session_id in sessions:
        assert states(session_id) == [State.SUCCEEDED]
        audit(session_id)


def test_a_taken_row_is_skipped_not_waited_for() -> None:
    lost()
    make_due()
    with transaction.atomic():
        ChargeAttempt.objects.select_for_update().get()

        def run() -> int:
            try:
                return len(take_batch())
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(run).result(10)

    assert taken == 0


def test_a_run_without_time_takes_nothing(gateway: type[QuestionedGateway]) -> None:
    session_id = lost()
    make_due()

    assert (sweep(seconds=0), gateway.asked) == ({}, [])
    due_at = only(session_id).next_check_at
    assert due_at is not None
    assert due_at <= get_clock().now()


def test_a_run_whose_time_is_up_leaves_the_rest_of_its_batch(
    gateway: type[QuestionedGateway],
) -> None:
    for _ in range(3):
        lost()
    make_due()

    results = sweep(seconds=1, timer=lambda: float(len(gateway.asked)))

    assert results == {"settled": 1}
    make_due()
    assert sweep() == {"settled": 2}


def test_a_session_that_would_expire_while_its_charge_is_unknown_is_completed_late() -> None:
    session_id = lost()
    past = get_clock().now() - timedelta(days=3)
    UnifiedSession.objects.filter(pk=session_id).update(expires_at=past, created_at=past)
    expired = cleaner(get_tiers()).settle().done
    make_due()

    sweep()
    completed = cleaner(get_tiers()).settle().done

    assert (expired, completed) == (0, 1)
    assert (states(session_id), position(session_id)) == (
        [State.SUCCEEDED],
        "completed/success",
    )
    audit(session_id)


def test_a_charge_whose_session_is_gone_is_kept_for_a_refund_and_asked_no_more(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    make_due()
    UnifiedSession.objects.filter(pk=session_id).update(holds=0)  # damage, by whomever
    get_manager().delete_session(session_id)

    results = sweep()
    make_due()
    again = sweep()

    assert (results, again) == ({"settled": 1}, {})
    assert states(session_id) == [State.SURPLUS]


def test_a_later_receipt_never_changes_what_is_settled_and_is_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session_id = lost()
    make_due()
    sweep()
    attempt = only(session_id)
    changes: list[dict[str, Any]] = [
        {"amount": Decimal(1)},
        {"currency": "EUR"},
        {"transaction_id": "77"},
    ]
    for change in changes:
        values = {"transaction_id": attempt.transaction_id, "amount": attempt.amount} | change
        receipt = Receipt(outcome=Outcome.SUCCEEDED, **values)
        settling.settle(get_manager(), attempt.pk, receipt)
        (value,) = change.values()
        assert str(value) in only(session_id).discrepancy
    settling.settle(get_manager(), attempt.pk, Receipt(outcome=Outcome.DECLINED))

    assert states(session_id) == [State.SUCCEEDED]
    assert only(session_id).discrepancy == "The gateway says: declined"
    assert caplog.text.count("The gateway says") == 4
    audit(session_id)


def test_two_charges_under_one_order_settle_it_and_are_noted(
    gateway: type[QuestionedGateway],
) -> None:
    session_id = lost()
    make_due()
    found = gateway().query(only(session_id).gateway_order_id)
    assert found is not None
    twice = "2 transactions of this order succeeded: 1, 2"
    gateway.answer = lambda _: replace(found, discrepancy=twice)

    sweep()

    assert states(session_id) == [State.SUCCEEDED]
    assert only(session_id).discrepancy == f"The gateway says: charged, {twice}"
    audit(session_id)


def test_a_refusal_never_closes_what_is_known_to_be_charged() -> None:
    session_id = lost()
    attempt = only(session_id)
    mismatch = Receipt(outcome=Outcome.SUCCEEDED, transaction_id="77", amount=Decimal(1))
    settling.settle(get_manager(), attempt.pk, mismatch)

    settling.settle(get_manager(), attempt.pk, Receipt(outcome=Outcome.DECLINED))

    assert states(session_id) == [State.NEEDS_REVIEW]
    audit(session_id)


def test_the_task_sweeps(gateway: type[QuestionedGateway]) -> None:
    session_id = lost()
    make_due()

    assert ask_gateway() == 1
    assert states(session_id) == [State.SUCCEEDED]
    assert len(gateway.asked) == 1


def test_the_command_says_what_became_of_each() -> None:
    session_id = lost()
    lost(NEVER)
    make_due()
    out, again = StringIO(), StringIO()

    call_command("ask_gateway", stdout=out)
    call_command("ask_gateway", stdout=again)

    text = out.getvalue()
    assert (
        f"{only(session_id).gateway_order_id} (checkout of {session_id}: succeeded): settled"
        in text
    )
    assert "1 inconclusive, 1 settled." in text
    assert again.getvalue().startswith("Nothing is due. 1 open; the next is asked for in ")
    attempts_left = ChargeAttempt.objects.filter(state=State.UNKNOWN)
    attempts_left.update(state=State.NEEDS_REVIEW, review_since=get_clock().now())
    call_command("ask_gateway", stdout=again)
    assert "No charge or refund is open but for those in review." in again.getvalue()

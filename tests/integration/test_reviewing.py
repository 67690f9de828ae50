"""A person decides on charges in review, in the admin: who, why, and only what can be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client

from funnel.exceptions import ResolutionRefusedError
from funnel.payments import settling
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.imported import record_imported
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery import reviewing
from funnel.payments.recovery.reviewing import Decision
from funnel.payments.recovery.sweeping import sweep
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.charges import State, answers, attempts, audit, pay, position, session_of, start, states
from tests.gateways import taking
from tests.sweeps import QuestionedGateway, make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

LOST = "tok_timeout_charged"
NEVER = "tok_timeout_uncharged"
ADA = Decision(by="ada", reason="Seen at the gateway")


class ReviewedGateway(QuestionedGateway):
    """A gateway whose word on one transaction is scripted."""

    say: Any = None

    @classmethod
    def reset(cls) -> None:
        """Forget the calls and the script."""
        super().reset()
        cls.say = None

    def query_transaction(self, transaction_id: str) -> Receipt | None:
        """Answer as scripted, or as the sandbox does."""
        receipt = super().query_transaction(transaction_id)
        return receipt if self.say is None else type(self).say(receipt)


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[type[ReviewedGateway]]:
    yield from taking(ReviewedGateway, settings, CHECKS_BEFORE_REVIEW=1)


def in_review(gateway: type[ReviewedGateway], card: str = LOST, **options: Any) -> ChargeAttempt:
    """Return an attempt that nobody knows the outcome of."""
    session_id = start()
    assert pay(session_id, card, **options).status == 202
    gateway.answer = lambda _: None
    make_due()
    sweep()
    gateway.answer = None
    (attempt,) = attempts(session_id)
    assert attempt.state == State.NEEDS_REVIEW
    return attempt


def transaction_of(attempt: ChargeAttempt) -> str:
    return SandboxCharge.objects.get(order_id=attempt.gateway_order_id).transaction_id


def wait(attempt: ChargeAttempt, **passed: int) -> None:
    """Let time pass since it came into review."""
    attempt.review_since = get_clock().now() - timedelta(**passed)
    attempt.save()


def staff(*permissions: str) -> Client:
    user = User.objects.create(username="ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def url(attempt: ChargeAttempt) -> str:
    return f"/admin/funnel/chargeattempt/{attempt.pk}/review/"


def decide(client: Client, attempt: ChargeAttempt, decision: str, **values: str) -> HttpResponse:
    given = {f"{decision}-{name}": value for name, value in values.items()}
    response: HttpResponse = client.post(url(attempt), {"decision": decision, **given})
    return response


# It was executed


def test_a_charge_is_settled_with_its_exact_transaction(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway, key="k")
    client = staff("view_chargeattempt", "resolve_charge")

    response = decide(
        client, attempt, "settle", transaction_id=transaction_of(attempt), reason="Seen there"
    )

    attempt.refresh_from_db()
    assert response.status_code == 302
    assert (attempt.state, attempt.transaction_id) == (State.SUCCEEDED, transaction_of(attempt))
    assert (attempt.resolved_by, attempt.resolved_reason) == ("ada", "Seen there")
    assert attempt.resolved_at is not None
    assert position(attempt.session_id) == "processing/upsell-1"
    assert answers(attempt.session_id) == {"k": 200}
    kinds = ["charge_resolved", "charge_succeeded"]
    events = SessionEvent.objects.filter(session_id=attempt.session_id, kind__in=kinds)
    user = User.objects.get()
    assert [(e.kind, e.actor) for e in events.order_by("seq")] == [
        (kind, f"staff:{user.pk}") for kind in kinds
    ]
    assert "Seen there" not in str([each.data for each in events])
    assert LogEntry.objects.get().user == user
    audit(attempt.session_id)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": Decimal("0.01")}, "amount 0.01"),
        ({"amount": None}, "no amount"),
        ({"currency": "EUR"}, "currency EUR"),
        ({"order_id": "fs-another"}, "order fs-another"),
        ({"order_id": None}, "no order"),
        ({"transaction_id": "77"}, "transaction 77"),
        ({"outcome": Outcome.VOIDED}, "is voided"),
        ({"outcome": Outcome.DECLINED}, "is declined"),
    ],
)
def test_another_transaction_is_refused_with_what_differs(
    gateway: type[ReviewedGateway], changes: dict[str, Any], said: str
) -> None:
    attempt = in_review(gateway)
    gateway.say = lambda receipt: replace(receipt, **changes)
    client = staff("view_chargeattempt", "resolve_charge")

    response = decide(
        client, attempt, "settle", transaction_id=transaction_of(attempt), reason="It is it"
    )

    attempt.refresh_from_db()
    assert said in response.content.decode()
    assert (attempt.state, attempt.resolved_by) == (State.NEEDS_REVIEW, "")
    audit(attempt.session_id)


def test_a_transaction_that_the_gateway_does_not_know_is_refused(
    gateway: type[ReviewedGateway],
) -> None:
    attempt = in_review(gateway)

    with pytest.raises(ResolutionRefusedError, match="knows no transaction"):
        reviewing.settle_with(get_manager(), attempt, "12345", ADA)


def test_a_transaction_of_another_charge_is_refused(gateway: type[ReviewedGateway]) -> None:
    other = start()
    pay(other)
    attempt = in_review(gateway)
    gateway.say = lambda receipt: replace(receipt, order_id=attempt.gateway_order_id)

    with pytest.raises(ResolutionRefusedError, match="another attempt's"):
        reviewing.settle_with(get_manager(), attempt, str(attempts(other)[0].transaction_id), ADA)

    assert states(attempt.session_id) == [State.NEEDS_REVIEW]


def test_a_gateway_that_cannot_be_asked_settles_nothing(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway)

    def fail(_: object) -> None:
        raise ConnectionError

    gateway.say = fail
    with pytest.raises(ResolutionRefusedError, match="cannot be asked now"):
        reviewing.settle_with(get_manager(), attempt, transaction_of(attempt), ADA)

    assert states(attempt.session_id) == [State.NEEDS_REVIEW]


def test_a_person_may_name_another_transaction_than_the_one_heard_of(
    gateway: type[ReviewedGateway],
) -> None:
    attempt = in_review(gateway)
    attempt.transaction_id = "77"
    attempt.save()

    state = reviewing.settle_with(get_manager(), attempt, transaction_of(attempt), ADA)

    assert (state, attempt.transaction_id) == (State.SUCCEEDED, transaction_of(attempt))


@pytest.mark.parametrize("amount", [Decimal(25), None])
def test_what_another_shop_charged_is_taken_as_typed(amount: Decimal | None) -> None:
    session_id = start()
    UnifiedSession.objects.filter(pk=session_id).update(
        status="processing", current_step="processing", amount=amount
    )
    with transaction.atomic():
        record_imported([session_of(session_id)])
    (attempt,) = attempts(session_id)
    client = staff("view_chargeattempt", "resolve_charge")

    page = client.get(url(attempt)).content.decode()
    decide(client, attempt, "settle", transaction_id="OLD-77", reason="In the old shop's books")

    attempt.refresh_from_db()
    assert "taken as you type it" in page
    assert (attempt.state, attempt.transaction_id) == (State.SUCCEEDED, "OLD-77")
    assert session_of(session_id).transaction_id == "OLD-77"


# It was not executed


def test_what_was_not_executed_is_closed_after_an_hour(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway, NEVER, key="k")
    wait(attempt, minutes=61)
    client = staff("view_chargeattempt", "resolve_charge")

    response = decide(client, attempt, "close", reason="Not in the gateway's books")

    attempt.refresh_from_db()
    assert response.status_code == 302
    assert (attempt.state, attempt.resolved_by) == (State.DECLINED, "ada")
    assert position(attempt.session_id) == "pending/checkout"
    assert answers(attempt.session_id) == {"k": 402}
    assert pay(attempt.session_id).status == 200
    audit(attempt.session_id)


def test_before_that_it_is_refused_and_says_when(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway, NEVER)
    wait(attempt, minutes=59)
    client = staff("view_chargeattempt", "resolve_charge")

    response = decide(client, attempt, "close", reason="Now")

    attempt.refresh_from_db()
    possible_at = reviewing.closable_at(attempt)
    assert f"possible from {possible_at:%Y-%m-%d %H:%M:%S} UTC" in response.content.decode()
    assert attempt.state == State.NEEDS_REVIEW


def test_what_the_gateway_knows_as_executed_is_not_closed(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway)
    wait(attempt, minutes=61)

    with pytest.raises(ResolutionRefusedError, match=f"transaction {transaction_of(attempt)}"):
        reviewing.not_executed(get_manager(), attempt, ADA)

    assert states(attempt.session_id) == [State.NEEDS_REVIEW]


def test_a_charge_of_another_amount_that_was_given_back_by_hand_is_closed(
    gateway: type[ReviewedGateway],
) -> None:
    attempt = in_review(gateway)
    charge = replace(
        gateway().query(attempt.gateway_order_id) or Receipt(outcome=Outcome.UNKNOWN),
        amount=Decimal(1),
    )
    settling.settle(get_manager(), attempt.pk, charge)
    gateway.answer = lambda _: charge
    attempt.refresh_from_db()
    wait(attempt, minutes=61)

    assert reviewing.not_executed(get_manager(), attempt, ADA) == State.DECLINED
    assert "amount 1" in attempt.reason
    assert attempt.discrepancy == ""


def test_a_success_that_comes_after_all_still_settles(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway, NEVER)
    wait(attempt, minutes=61)
    reviewing.not_executed(get_manager(), attempt, ADA)
    late = Receipt(outcome=Outcome.SUCCEEDED, transaction_id="77", amount=attempt.amount)

    settling.settle(get_manager(), attempt.pk, late)

    assert states(attempt.session_id) == [State.SUCCEEDED]


# Who, why, when


def test_what_was_settled_meanwhile_is_not_decided_on(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway)
    wait(attempt, minutes=61)
    stale = ChargeAttempt.objects.get()
    gateway.answer = lambda _: (settle_it(stale), None)[1]

    with pytest.raises(ResolutionRefusedError, match="not in review any more: it is succeeded"):
        reviewing.not_executed(get_manager(), attempt, ADA)

    attempt.refresh_from_db()
    assert (attempt.state, attempt.resolved_by) == (State.SUCCEEDED, "")


def settle_it(attempt: ChargeAttempt) -> None:
    receipt = Receipt(
        outcome=Outcome.SUCCEEDED, transaction_id=transaction_of(attempt), amount=attempt.amount
    )
    settling.settle(get_manager(), attempt.pk, receipt)


@pytest.mark.parametrize(
    "permissions", [["view_chargeattempt"], ["resolve_charge"], ["change_chargeattempt"]]
)
def test_only_who_may_decide_does(gateway: type[ReviewedGateway], permissions: list[str]) -> None:
    attempt = in_review(gateway)
    client = staff(*permissions)

    responses = [
        client.get(url(attempt)),
        decide(client, attempt, "settle", transaction_id=transaction_of(attempt), reason="Because"),
    ]

    assert [each.status_code for each in responses] == [403, 403]
    assert states(attempt.session_id) == [State.NEEDS_REVIEW]


@pytest.mark.parametrize(
    "values",
    [
        {"transaction_id": "1", "reason": ""},
        {"transaction_id": "1", "reason": "  "},
        {"transaction_id": "", "reason": "Because"},
        {"transaction_id": "two words", "reason": "Because"},
        {"transaction_id": "1", "reason": "Card 4111 1111 1111 1111"},
        {"transaction_id": "4111111111111111", "reason": "Because"},
        {"transaction_id": "1", "reason": "x" * 501},
    ],
)
def test_a_decision_needs_a_transaction_and_a_reason_without_card_data(
    gateway: type[ReviewedGateway], values: dict[str, str]
) -> None:
    attempt = in_review(gateway)
    client = staff("view_chargeattempt", "resolve_charge")
    gateway.say = lambda _: Receipt(
        outcome=Outcome.SUCCEEDED,
        transaction_id=values["transaction_id"],
        amount=attempt.amount,
        currency="USD",
        order_id=attempt.gateway_order_id,
    )

    response = decide(client, attempt, "settle", **values)

    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert states(attempt.session_id) == [State.NEEDS_REVIEW]


def test_the_list_shows_what_waits_for_a_decision(gateway: type[ReviewedGateway]) -> None:
    attempt = in_review(gateway)
    paid = start()
    pay(paid)
    client = staff("view_chargeattempt", "resolve_charge")

    listed = client.get("/admin/funnel/chargeattempt/?attention=review").content.decode()
    page = client.get(f"/admin/funnel/chargeattempt/{attempt.pk}/change/").content.decode()

    assert attempt.gateway_order_id in listed
    assert attempts(paid)[0].gateway_order_id not in listed
    assert url(attempt) in page
    assert client.get(f"/admin/funnel/chargeattempt/{10**9}/review/").status_code == 404


def test_what_is_not_in_review_leads_back_to_its_page() -> None:
    session_id = start()
    pay(session_id)
    (attempt,) = attempts(session_id)
    client = staff("view_chargeattempt", "resolve_charge")

    assert client.get(url(attempt)).status_code == 302


def test_the_first_page_says_how_many_wait_to_those_who_may_see_charges(
    gateway: type[ReviewedGateway],
) -> None:
    client = staff("view_chargeattempt")
    before = client.get("/admin/").content.decode()
    in_review(gateway)
    after = client.get("/admin/").content.decode()
    User.objects.get().user_permissions.set([])
    without = client.get("/admin/").content.decode()

    assert "1 charge waits for a decision" in after
    assert not [page for page in (before, without) if "for a decision" in page]

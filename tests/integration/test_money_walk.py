"""Random walks over a session's money: whatever comes, in any order, the books add up.

The gateway tells the truth and loses answers; its webhooks come late, twice, never and in any
order; some of what is told is wrong. What must hold, holds after every step.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

import pytest

from funnel.exceptions import FunnelError
from funnel.payments import verdicts
from funnel.payments.gateway import Outcome, Receipt, Reversal
from funnel.payments.money_log.checking import check
from funnel.payments.recovery.sweeping import sweep
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.recovering import ask_due
from funnel.payments.sandbox import SandboxGateway
from funnel.payments.sandbox.models import SandboxReversal
from funnel.payments.settling import settle
from funnel.payments.webhooks import facts, handling
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionsUnifiedError
from sessions_unified.models import UnifiedSession
from tests.charges import State, answer, attempts, charges, pay, position, start, states
from tests.refunds import refund
from tests.sweeps import make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.models import ChargeAttempt
    from funnel.payments.sandbox.models import SandboxCharge

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

STEPS = 30
SEEDS = range(8)
MANY_SEEDS = range(1000, 1300)
CARDS = (
    *("tok_approve", "tok_timeout_uncharged", "tok_decline"),
    *("tok_timeout_charged",) * 3,  # what is learned late is where it goes wrong
    "tok_approve_upsell_timeout_charged",
)
OFFERS = ("upsell-1-serum", "upsell-1-bundle", "upsell-2-lamp")
CHARGED = (State.SUCCEEDED, State.SURPLUS, State.REFUNDED, State.VOIDED)
DECLINED = Receipt(outcome=Outcome.DECLINED)


class ForgetfulGateway(SandboxGateway):
    """The sandbox; while ``loses`` is set, it gives money back and its answer is lost."""

    loses: ClassVar[bool] = False

    def reverse(self, reversal: Reversal) -> Receipt:
        receipt = super().reverse(reversal)
        if self.loses:
            raise TimeoutError
        return receipt


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[None]:
    settings.FUNNEL = settings.FUNNEL | {
        "GATEWAY": f"{__name__}.ForgetfulGateway",
        "DECLINES_PER_SESSION": 10_000,
    }
    yield
    ForgetfulGateway.loses = False


class Walk:
    """One session, and what a seeded chance does with it.

    Attributes:
        steps: what was done, readable.
        told: how many events the gateway has sent.
        paid_by: the order's transaction, once there is one.

    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.session_id = start()
        self.steps = [f"seed {seed}"]
        self.told = 0
        self.paid_by: str | None = None
        # Whoever pays and is told of it does so more often than staff.
        self._kinds = [
            *(self.pays, self.pays, self.pays, self.answers, self.sweeps),
            *(self.declines_wrongly,) * 2,
            *(self.tells_of_sale, self.tells_of_sale, self.tells_of_reversal),
            *(self.gives_back, self.gives_back_at_the_console, self.asks),
        ]

    def step(self) -> None:
        """Do one thing; that it is refused is a result like another."""
        kind = self.random.choice(self._kinds)
        try:
            said = kind()
        except (FunnelError, SessionsUnifiedError) as exc:
            said = type(exc).__name__
        self.steps.append(f"{kind.__name__}: {said}")

    def _attempt(self) -> ChargeAttempt | None:
        found = attempts(self.session_id)
        return self.random.choice(found) if found else None

    # A shopper

    def pays(self) -> str:
        card = self.random.choice(CARDS)
        return f"{card} {pay(self.session_id, card).status}"

    def answers(self) -> str:
        offer = self.random.choice(OFFERS)
        decision = self.random.choice(["accept", "accept", "decline"])
        return f"{decision} {offer} {answer(self.session_id, offer, decision).status}"

    # What is asked for, and told unasked

    def sweeps(self) -> str:
        make_due(session_id=self.session_id)
        return str(dict(sweep()))

    def asks(self) -> str:
        now = get_clock().now()
        due = Refund.objects.filter(state__in=[Refund.State.CLAIMED, Refund.State.UNKNOWN])
        due.update(lease_until=now, next_check_at=now)
        return str(ask_due(now))

    def tells_of_sale(self) -> str:
        attempt = self._attempt()
        if attempt is None:
            return "nothing"
        is_charged = any(each.order_id == attempt.gateway_order_id for each in self._charges())
        kinds = ["success"] * 5 + ["unknown", "failure"] if is_charged else ["failure", "unknown"]
        is_wrong = self.random.random() < 0.2
        amount = Decimal("0.01") if is_wrong else attempt.money
        return self._tell_of_sale(attempt, self.random.choice(kinds), amount)

    def _tell_of_sale(self, attempt: ChargeAttempt, result: str, amount: Decimal) -> str:
        named = [c for c in self._charges() if c.order_id == attempt.gateway_order_id]
        transaction_id = named[0].transaction_id if named else ""
        return self._tell(f"sale.{result}", attempt, transaction_id, amount)

    def tells_of_reversal(self) -> str:
        made = self._reversals()
        return self._tell_of_reversal(self.random.choice(made)) if made else "nothing"

    def _tell_of_reversal(self, reversal: SandboxReversal) -> str:
        order_id = reversal.charge.order_id
        attempt = next(e for e in attempts(self.session_id) if e.gateway_order_id == order_id)
        if reversal.is_void:  # NMI's void is of the sale's own transaction
            sale = reversal.charge.transaction_id
            return self._tell("void.success", attempt, sale, reversal.amount)
        return self._tell("refund.success", attempt, reversal.transaction_id, reversal.amount)

    def _charges(self) -> list[SandboxCharge]:
        return charges(self.session_id)

    def _reversals(self) -> list[SandboxReversal]:
        made = SandboxReversal.objects.filter(charge__in=self._charges())
        return list(made.select_related("charge").order_by("pk"))

    def _tell(self, kind: str, attempt: ChargeAttempt, transaction_id: str, amount: Decimal) -> str:
        self.told += 1
        action, _, result = kind.partition(".")
        content = {
            "event_id": f"{self.session_id}-{self.told}",
            "event_type": f"transaction.{kind}",
            "event_body": {
                "transaction_id": transaction_id,
                "order_id": attempt.gateway_order_id,
                "currency": attempt.currency,
                "action": {
                    "amount": str(amount),
                    "action_type": action,
                    "response_code": "100" if result == "success" else "200",
                },
            },
        }
        event = handling.store(attempt.gateway, facts.read(json.dumps(content).encode()))
        handling.handle(event)
        event.refresh_from_db()
        return f"{kind} of attempt {attempt.pk}, {amount}: {event.outcome}"

    def declines_wrongly(self) -> str:
        attempt = self._attempt()
        if attempt is None:
            return "nothing"
        settle(get_manager(), attempt.pk, DECLINED)
        return f"attempt {attempt.pk}"

    # Staff, here and at the gateway's own console

    def gives_back(self) -> str:
        attempt = self._attempt()
        if attempt is None:
            return "nothing"
        ForgetfulGateway.loses = self.random.random() < 0.3
        is_void = self.random.random() < 0.4
        lines = None if self.random.random() < 0.5 else {0: Decimal("5.00")}
        done = refund(attempt, is_void=is_void, lines=lines)
        return f"{done.kind} {done.amount} of attempt {attempt.pk} {done.state}"

    def gives_back_at_the_console(self) -> str:
        made = self._charges()
        if not made:
            return "nothing"
        charge = self.random.choice(made)
        is_void, is_whole = self.random.random() < 0.4, self.random.random() < 0.5
        reversal = Reversal(
            order_id=f"console-{self.session_id}-{len(self.steps)}",
            transaction_id=charge.transaction_id,
            amount=charge.amount if is_void or is_whole else Decimal("4.00"),
            currency=charge.currency,
            is_void=is_void,
        )
        outcome = SandboxGateway().reverse(reversal).outcome.value
        return f"{reversal.amount} of {charge.order_id} {outcome}"

    def comes_to_rest(self) -> None:
        """Tell the truth of everything, twice: what waits for other news finds it then."""
        for _ in range(2):
            charged = {each.order_id for each in self._charges()}
            for attempt in attempts(self.session_id):
                if attempt.gateway_order_id in charged:
                    self.steps.append(self._tell_of_sale(attempt, "success", attempt.money))
            self.steps.extend(self._tell_of_reversal(each) for each in self._reversals())
            self.steps.extend([self.sweeps(), self.asks()])

    # What must hold

    def violations(self) -> Iterator[str]:
        """Yield what is not as promised; best: nothing."""
        row = UnifiedSession.objects.get(pk=self.session_id)
        found = attempts(self.session_id)
        if row.holds != sum(each.is_open for each in found):
            yield f"{row.holds} holds"
        yield from check(self.session_id)
        yield from self._violations_of_order(row, found)
        yield from self._violations_of_extras(row, found)

    def _violations_of_order(
        self, row: UnifiedSession, found: list[ChargeAttempt]
    ) -> Iterator[str]:
        order = [each for each in found if each.purpose == "checkout"]
        paid = [each for each in order if each.state == State.SUCCEEDED]
        is_open = any(each.is_open for each in order)
        place = position(self.session_id)
        if place == "processing/processing" and not is_open:
            yield "it waits for an answer that nobody will ask for"
        # One in review may stand beside: it was closed before, and blocks a second charge.
        is_asked_for = any(each.state in verdicts.ASKED_FOR for each in order)
        if place == "pending/checkout" and (is_asked_for or paid):
            yield "the checkout is shown beside a charge"
        if self.paid_by not in {None, row.transaction_id}:
            yield "another charge has taken the place of the one that paid"
        self.paid_by = row.transaction_id
        if paid and row.transaction_id != paid[0].transaction_id:
            yield "it names another charge than the one that paid"

    def _violations_of_extras(
        self, row: UnifiedSession, found: list[ChargeAttempt]
    ) -> Iterator[str]:
        accepted = row.upsells.get("accepted", [])
        if len(accepted) != len(set(accepted)):
            yield "an extra is accepted twice"
        for each in found:
            is_extra = each.purpose != "checkout" and each.state == State.SUCCEEDED
            if is_extra and each.purpose.removeprefix("upsell:") not in accepted:
                yield f"{each.purpose} is paid and not accepted"

    def losses(self) -> Iterator[str]:
        """Yield what the gateway did and nobody knows of, once it is at rest; best: nothing."""
        charged = {each.order_id: each for each in self._charges()}
        for each in attempts(self.session_id):
            if each.state == State.NEEDS_REVIEW or each.discrepancy:
                continue  # a person looks
            charge = charged.get(each.gateway_order_id)
            if (charge is not None) != (each.state in CHARGED):
                yield f"attempt {each.pk} is {each.state}, the gateway has {charge}"
            given = sum((r.amount for r in charge.reversals.all()), Decimal(0)) if charge else 0
            kept = charge.amount - given if charge else 0
            booked = sum(entry.amount for entry in each.money_entries.all())
            if booked != kept:
                yield f"attempt {each.pk}: the gateway has kept {kept}, and {booked} is booked"


def walk(seed: int) -> None:
    walked = Walk(seed)
    for _ in range(STEPS):
        walked.step()
        _check(walked, walked.violations())
    walked.comes_to_rest()
    _check(walked, walked.violations())
    _check(walked, walked.losses())


def _check(walked: Walk, violations: Iterator[str]) -> None:
    found = list(violations)
    session_id = walked.session_id
    story = "\n".join([*walked.steps, " ".join(states(session_id)), position(session_id)])
    assert not found, f"{found}\n{story}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_add_up_wherever_a_walk_leads(seed: int) -> None:
    walk(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_the_books_add_up_wherever_many_walks_lead(seed: int) -> None:
    walk(seed)

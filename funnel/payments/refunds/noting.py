"""What the gateway tells of refunds and voids: ours, or made at its own console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Q

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.refunds import portions
from funnel.payments.refunds.locking import lock_attempt
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.settling import contradict, given_back_of, settle_refund, take_back
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from funnel.payments.models import ChargeAttempt
    from sessions_unified.manager import UnifiedSessionManager

GATEWAY_ACTOR = "gateway"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A refund or void that the gateway tells of.

    Attributes:
        kind: ``refund`` or ``void``.
        transaction_id: of the refund; of a void the sale's own.
        amount: None, if it does not say: of a void, all that is left; a refund of which we know
            nothing may be any part.
        currency: None, if it does not say.
        order_id: ours, or the console's; None, if it does not say.
        response: the sanitised message.

    """

    kind: str
    transaction_id: str
    amount: Decimal | None = None
    currency: str | None = None
    order_id: str | None = None
    response: Mapping[str, Any] = field(default_factory=dict)


def note_reversal(
    manager: UnifiedSessionManager, attempt: ChargeAttempt, told: Told
) -> Refund | None:
    """Record money that the gateway says went back. Repeating it is harmless, in any order.

    Ours is settled; another one is recorded as asked for by the gateway. None: it contradicts what
    is known, and the attempt's ``discrepancy`` says so.
    """
    with lock_attempt(manager, attempt.pk) as (locked, row):
        refund = _named(row, told) or _known(row, told) or _guessed(row, told)
        if refund is None:
            if not _fits(row, told):
                contradict(row, f"The gateway tells of a {told.kind} that does not fit the charge")
                return None
            refund = _write(row, told)
            if refund is not None:
                take_back(locked, refund)
            return refund
    return settle_refund(manager, refund.pk, _receipt(told))


def _fits(attempt: ChargeAttempt, told: Told) -> bool:
    """Tell whether it can be of this charge; the void of a refund, for one, is not."""
    is_void = told.kind == Refund.Kind.VOID
    is_of_another = is_void and attempt.transaction_id not in {None, told.transaction_id}
    is_in_its_currency = told.currency in {None, attempt.currency}
    says_how_much = is_void or told.amount is not None
    return attempt.amount is not None and says_how_much and is_in_its_currency and not is_of_another


def _named(attempt: ChargeAttempt, told: Told) -> Refund | None:
    if told.order_id is None:
        return None
    return attempt.refunds.filter(gateway_order_id=told.order_id, kind=told.kind).first()


def _known(attempt: ChargeAttempt, told: Told) -> Refund | None:
    """Return the refund of this transaction. A void has its sale's, and there is but one."""
    same = Q(gateway_order_id=_order_id(told))
    if told.kind == Refund.Kind.VOID and _fits(attempt, told):
        same |= Q(state__in=(*Refund.OPEN, Refund.State.SUCCEEDED))
    elif told.kind == Refund.Kind.REFUND:
        same |= Q(transaction_id=told.transaction_id)
    return attempt.refunds.filter(same, kind=told.kind).order_by("pk").first()


def _guessed(attempt: ChargeAttempt, told: Told) -> Refund | None:
    """Return our open refund of this kind and amount, where the gateway names no order of ours."""
    if told.order_id not in {None, attempt.gateway_order_id}:
        return None
    same = attempt.refunds.filter(kind=told.kind, state__in=Refund.OPEN, transaction_id=None)
    if told.amount is not None:
        same = same.filter(amount=told.amount)
    return same.first()


def _order_id(told: Told) -> str:
    return f"{told.kind}:{told.transaction_id}"[:100]


def _write(attempt: ChargeAttempt, told: Told) -> Refund | None:
    now = get_clock().now()
    left = attempt.money - given_back_of(attempt)
    amount = left if told.amount is None else told.amount
    if amount <= 0:
        return None
    refund = Refund(
        attempt=attempt,
        kind=told.kind,
        state=Refund.State.SUCCEEDED,
        amount=amount,
        gateway=attempt.gateway,
        gateway_order_id=_order_id(told),
        transaction_id=told.transaction_id,
        requested_by=GATEWAY_ACTOR,
        requested_reason="Made at the gateway",
        response=dict(told.response),
        lease_until=now,
        created_at=now,
        settled_at=now,
    )
    refund.lines = [each.to_json() for each in portions.spread(attempt, amount)]
    refund.save()
    return refund


def _receipt(told: Told) -> Receipt:
    return Receipt(
        outcome=Outcome.SUCCEEDED,
        transaction_id=told.transaction_id,
        amount=told.amount,
        currency=told.currency,
        reason="Told by the gateway",
        response=told.response,
    )

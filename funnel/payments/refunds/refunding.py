"""Giving money back by the charge protocol's rules: written down first, sent once, settled once.

T1 writes the refund under the locks of the session and its attempt; N calls the gateway outside
any lock and is never repeated; T2 is `settling`.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from funnel.conf import get_conf
from funnel.exceptions import RefundRefusedError
from funnel.payments.gateway import Outcome, Receipt, Reversal
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.models import ChargeAttempt
from funnel.payments.persisting import persist
from funnel.payments.recovery.gateways import gateway_named
from funnel.payments.refunds import portions
from funnel.payments.refunds.locking import lock_attempt
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.settling import settle_refund
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from funnel.payments.refunds.portions import Portion
    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)

_KEY: Final = re.compile(r"[0-9a-f]{24}")
_LONGEST_REASON: Final = 500

State = ChargeAttempt.State
REFUNDABLE: Final = (State.SUCCEEDED, State.SURPLUS)


@dataclass(frozen=True, kw_only=True)
class Requested:
    """A refund that is written down.

    Attributes:
        is_new: False if the same key had written it before: it is being sent, or was.

    """

    refund: Refund
    is_new: bool


def new_key() -> str:
    """Return a key for one refund; whatever is sent twice under it is done once."""
    return secrets.token_hex(12)


def give_back(
    manager: UnifiedSessionManager,
    attempt_id: int,
    *,
    reason: str,
    lines: Mapping[int, Decimal] | None = None,
    is_void: bool = False,
    key: str | None = None,
) -> Refund:
    """Give (some of) a charge back: T1, N and T2. The refund says what became of it.

    Raises:
        RefundRefusedError: as `request`.
        OutcomeUnsettledError: the database did not take the answer; the refund stays open, and the
            gateway is asked for it later.

    """
    requested = request(manager, attempt_id, reason=reason, lines=lines, is_void=is_void, key=key)
    refund = requested.refund
    if not requested.is_new:
        return refund
    receipt = _send(refund)
    return persist(lambda: settle_refund(manager, refund.pk, receipt))


def request(
    manager: UnifiedSessionManager,
    attempt_id: int,
    *,
    reason: str,
    lines: Mapping[int, Decimal] | None = None,
    is_void: bool = False,
    key: str | None = None,
) -> Requested:
    """Write down that money is to be given back, before anything is sent: T1.

    Args:
        manager: its actor is who asks for it.
        attempt_id: the charge.
        reason: why, for the books.
        lines: amounts by the place of the charge's line; None: all that is left.
        is_void: take the whole charge back before it is settled, instead of refunding it.
        key: from `new_key`; a repeat under it writes nothing.

    Raises:
        RefundRefusedError: it cannot be given back so; the message says why.

    """
    reason = reason.strip()[:_LONGEST_REASON]
    if not reason:
        message = "Say why it is given back."
        raise RefundRefusedError(message)
    order_id = f"fr-{_checked(key)}"
    with lock_attempt(manager, attempt_id) as (_, attempt):
        known = Refund.objects.filter(gateway_order_id=order_id, gateway=attempt.gateway).first()
        if known is not None:
            _check_same(known, attempt, lines, is_void=is_void)
            return Requested(refund=known, is_new=False)
        _check_refundable(attempt)
        chosen = portions.choose(attempt, lines)
        if is_void:
            _check_whole(attempt, chosen)
        refund = _write(manager.actor, attempt, chosen, order_id, reason, is_void=is_void)
    return Requested(refund=refund, is_new=True)


def _checked(key: str | None) -> str:
    if key is None:
        return new_key()
    if _KEY.fullmatch(key) is None:
        message = "The key of this form is broken. Open the form again."
        raise RefundRefusedError(message)
    return key


def _check_same(
    known: Refund,
    attempt: ChargeAttempt,
    lines: Mapping[int, Decimal] | None,
    *,
    is_void: bool,
) -> None:
    asked = None if lines is None else {place: amount for place, amount in lines.items() if amount}
    given = {each["line"]: Decimal(each["amount"]) for each in known.lines}
    is_same = known.attempt_id == attempt.pk and is_void == (known.kind == Refund.Kind.VOID)
    if not is_same or (asked is not None and asked != given):
        message = "This form was sent before, with other content. Open it again."
        raise RefundRefusedError(message)


def _check_refundable(attempt: ChargeAttempt) -> None:
    gateway = gateway_named(attempt.gateway)
    if attempt.gateway == IMPORTED:
        message = "Another shop system charged this. Give it back where it was charged."
        raise RefundRefusedError(message)
    if attempt.state not in REFUNDABLE or attempt.transaction_id is None:
        message = f"A charge that is {attempt.get_state_display().lower()} cannot be given back."
        raise RefundRefusedError(message)
    if gateway is None or not gateway.supports_reversals:
        message = f"The gateway {attempt.gateway} cannot give this back from here."
        raise RefundRefusedError(message)
    if attempt.refunds.filter(state__in=Refund.OPEN).exists():
        message = "A refund of this charge is under way. Wait until it is settled."
        raise RefundRefusedError(message)


def _check_whole(attempt: ChargeAttempt, chosen: tuple[Portion, ...]) -> None:
    if portions.total(chosen) != attempt.amount:
        message = "Only a whole charge can be voided. Refund what is left of it."
        raise RefundRefusedError(message)


def _write(
    actor: str,
    attempt: ChargeAttempt,
    chosen: tuple[Portion, ...],
    order_id: str,
    reason: str,
    *,
    is_void: bool,
) -> Refund:
    now = get_clock().now()
    lease_until = now + timedelta(seconds=get_conf().LEASE_SECONDS)
    return Refund.objects.create(
        attempt=attempt,
        kind=Refund.Kind.VOID if is_void else Refund.Kind.REFUND,
        amount=portions.total(chosen),
        lines=[each.to_json() for each in chosen],
        gateway=attempt.gateway,
        gateway_order_id=order_id,
        requested_by=actor[:150],
        requested_reason=reason,
        lease_until=lease_until,
        next_check_at=lease_until,
        created_at=now,
    )


def reversal_of(refund: Refund) -> Reversal:
    """Return the refund as its gateway knows it."""
    return Reversal(
        order_id=refund.gateway_order_id,
        transaction_id=refund.attempt.transaction_id or "",
        amount=refund.money,
        currency=refund.attempt.currency,
        is_void=refund.kind == Refund.Kind.VOID,
    )


def _send(refund: Refund) -> Receipt:
    """Call the charge's own gateway once. Whatever goes wrong leaves the outcome unknown."""
    gateway = gateway_named(refund.gateway)
    if gateway is None:
        return Receipt(outcome=Outcome.UNKNOWN, reason="Its gateway is not configured here")
    left = refund.lease_until - get_clock().now()
    if left < timedelta(seconds=gateway.timeout_seconds):
        return Receipt(outcome=Outcome.UNKNOWN, reason="The lease ended before it was sent")
    try:
        return gateway.reverse(reversal_of(refund))
    except Exception as exc:  # noqa: BLE001  (a gateway's failure is an outcome: unknown)
        logger.warning("A refund's outcome is unknown: %s", type(exc).__name__)
        return Receipt(outcome=Outcome.UNKNOWN, reason=type(exc).__name__)

"""T2 of the charge protocol: one transaction that writes what became of an attempt.

The session first, then the attempt, always in that order; state, transaction id, the session's
step, the event and the stored answer together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import transaction

from funnel import flow
from funnel.catalog import OFFERS
from funnel.payments import idempotency, replies
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import CHECKOUT, UPSELL_PREFIX, ChargeAttempt
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow

if TYPE_CHECKING:
    from funnel.payments.idempotency import Reply
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager

State = ChargeAttempt.State
_REFUSED: Final = (State.DECLINED, State.REJECTED)


def settle(manager: UnifiedSessionManager, attempt_id: int, receipt: Receipt) -> Reply:
    """Write what became of an attempt: T2. Whoever learns it (request, sweeper, webhook) calls it.

    Repeating it is harmless. A success is never dropped: where the purpose is paid already, the
    attempt ends as ``surplus``, to be refunded by a person.

    Raises:
        SessionNotFoundError: the session was deleted; a success of it is kept as ``surplus``.

    """
    try:
        return _settle(manager, attempt_id, receipt)
    except SessionNotFoundError:
        _keep_orphan(attempt_id, receipt)
        raise


def _keep_orphan(attempt_id: int, receipt: Receipt) -> None:
    with transaction.atomic():
        attempt = ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
        if receipt.outcome is Outcome.SUCCEEDED and attempt.state in _REFUSED:
            _record(attempt, State.SURPLUS, _of_this(attempt, receipt))


def _settle(manager: UnifiedSessionManager, attempt_id: int, receipt: Receipt) -> Reply:
    session_id = ChargeAttempt.objects.values_list("session_id", flat=True).get(pk=attempt_id)
    with manager.lock_session(session_id, allow_expired=True, durable=True) as locked:
        attempt = ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
        was_open = attempt.is_open
        receipt = _of_this(attempt, receipt)
        state = _state_after(attempt, receipt)
        if state == attempt.state:
            return replies.of_settled(locked.session, attempt)
        _record(attempt, state, receipt)
        if state == State.SUCCEEDED:
            _take_success(locked, attempt)
        elif state in _REFUSED:
            _take_refusal(locked, attempt)
        else:
            _note(locked, attempt)
        if was_open and not attempt.is_open:
            locked.release()
        elif attempt.is_open and not was_open:
            locked.hold()
        reply = replies.of_settled(locked.session, attempt)
        idempotency.answer(attempt, None if attempt.is_open else reply)
        return reply


def _of_this(attempt: ChargeAttempt, receipt: Receipt) -> Receipt:
    """Return the receipt; one of a transaction that another attempt has names none any more."""
    same = ChargeAttempt.objects.filter(
        gateway=attempt.gateway, transaction_id=receipt.transaction_id
    ).exclude(pk=attempt.pk)
    if receipt.transaction_id is None or not same.exists():
        return receipt
    response = {**receipt.response, "sharedTransactionId": receipt.transaction_id}
    reason = "Another attempt has this transaction"
    return replace(receipt, transaction_id=None, reason=reason, response=response)


def _state_after(attempt: ChargeAttempt, receipt: Receipt) -> str:
    """Return the attempt's state after a receipt; its present one if nothing is new."""
    if receipt.outcome is Outcome.SUCCEEDED:
        return _state_after_success(attempt, receipt)
    if not attempt.is_open:
        return attempt.state
    if receipt.outcome is Outcome.UNKNOWN:
        return State.UNKNOWN if attempt.state == State.CLAIMED else attempt.state
    return State.DECLINED if receipt.outcome is Outcome.DECLINED else State.REJECTED


def _state_after_success(attempt: ChargeAttempt, receipt: Receipt) -> str:
    settled = (State.SUCCEEDED, State.SURPLUS, State.REFUNDED, State.VOIDED)
    if attempt.state in settled:
        return attempt.state
    others = ChargeAttempt.objects.filter(
        session_id=attempt.session_id, purpose=attempt.purpose, state__in=ChargeAttempt.BLOCKING
    ).exclude(pk=attempt.pk)
    if others.exists():
        return State.SURPLUS
    return State.SUCCEEDED if _is_as_asked(attempt, receipt) else State.NEEDS_REVIEW


def _is_as_asked(attempt: ChargeAttempt, receipt: Receipt) -> bool:
    """Tell whether a success is of the sale that was sent, and names its transaction."""
    return (
        receipt.transaction_id is not None
        and receipt.amount in {None, attempt.amount}
        and receipt.currency in {None, attempt.currency}
    )


def _record(attempt: ChargeAttempt, state: str, receipt: Receipt) -> None:
    attempt.state = state
    _note_review(attempt)
    attempt.transaction_id = receipt.transaction_id or attempt.transaction_id
    attempt.reason = receipt.reason[:200]
    attempt.response = dict(receipt.response)
    attempt.settled_at = None if attempt.is_open else get_clock().now()
    attempt.save()


def _note_review(attempt: ChargeAttempt) -> None:
    is_in_review = attempt.state == State.NEEDS_REVIEW
    attempt.review_since = (attempt.review_since or get_clock().now()) if is_in_review else None


def _facts(attempt: ChargeAttempt) -> dict[str, Any]:
    return {
        "purpose": attempt.purpose,
        "amount": str(attempt.money),
        "currency": attempt.currency,
        "outcome": attempt.state,
    }


def _take_success(locked: LockedSession, attempt: ChargeAttempt) -> None:
    if attempt.purpose == CHECKOUT:
        _take_order(locked, attempt)
    else:
        _take_upsell(locked, attempt)


def _take_order(locked: LockedSession, attempt: ChargeAttempt) -> None:
    session = locked.session
    changes: dict[str, Any] = {
        "transaction_id": attempt.transaction_id,
        "vault_id": attempt.vault_id,
        "payment_token": None,
    }
    if session.status == EXPIRED:
        end = get_flow().end
        changes |= {"status": end.status, "current_step": end.step}
    elif get_flow().rank(session.current_step) <= get_flow().rank(attempt.step):
        changes |= flow.step_after(attempt.step)
    # A late success completes even a session that the flow has let go, so no move is refused.
    locked.update(changes, kind="charge_succeeded", data=_facts(attempt), checks_flow=False)


def _take_upsell(locked: LockedSession, attempt: ChargeAttempt) -> None:
    session = locked.session
    offer_id = attempt.purpose.removeprefix(UPSELL_PREFIX)
    upsells = session.upsells
    detail = {
        "amount": float(attempt.money),  # JSON has no decimals; the attempt is exact
        "currency": attempt.currency,
        "transactionId": attempt.transaction_id,
        "acceptedAt": msgspec.to_builtins(attempt.settled_at),
    }
    changes: dict[str, Any] = {
        "upsells": {
            "accepted": [*upsells.accepted, offer_id],
            "declined": [each for each in upsells.declined if each != offer_id],
            "details": {**upsells.details, offer_id: detail},
        }
    }
    is_here = session.current_step == attempt.step and session.status not in {COMPLETED, EXPIRED}
    if offer_id in OFFERS and is_here:
        changes |= flow.step_after(attempt.step)
    locked.update(changes, kind="upsell_succeeded", data=_facts(attempt), checks_flow=False)


def _take_refusal(locked: LockedSession, attempt: ChargeAttempt) -> None:
    session = locked.session
    surplus = ChargeAttempt.objects.select_for_update().filter(
        session_id=attempt.session_id, purpose=attempt.purpose, state=State.SURPLUS
    )
    late = surplus.order_by("pk").first()
    changes: dict[str, Any] = {"payment_token": None}
    if late is None and attempt.purpose == CHECKOUT and session.current_step == attempt.step:
        start = get_flow().start
        changes |= {"status": start.status, "current_step": start.step}
    kind = "charge_declined" if attempt.purpose == CHECKOUT else "upsell_charge_declined"
    locked.update(changes, kind=kind, data=_facts(attempt), checks_flow=False)
    if late is not None:
        _review(locked, late)


def _review(locked: LockedSession, late: ChargeAttempt) -> None:
    """Let a person decide on a success that came while a later attempt was open, and was surplus.

    Nothing else has paid, so it is not. It may be on its way back to the card already, so it does
    not settle by itself either; meanwhile nothing is charged again.
    """
    late.state = State.NEEDS_REVIEW
    late.settled_at = None
    _note_review(late)
    late.save()
    locked.hold()
    _note(locked, late)
    idempotency.answer(late, None)


def _note(locked: LockedSession, attempt: ChargeAttempt) -> None:
    locked.update({}, kind=f"charge_{attempt.state}", data=_facts(attempt))

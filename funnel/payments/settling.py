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
from funnel.payments import cards, idempotency, metrics, notes, replies, verdicts
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import CHECKOUT, UPSELL_PREFIX, ChargeAttempt
from funnel.payments.money_log.recording import book_attempt
from funnel.payments.ordered import order_again
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.settling import close_if_nothing_left, is_given_back
from funnel.payments.verdicts import Source
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow

if TYPE_CHECKING:
    from funnel.payments.idempotency import Reply
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

State = ChargeAttempt.State
_GATEWAY: Final = Source()
_SHARED_REASON: Final = "Another attempt has this transaction"


def settle(
    manager: UnifiedSessionManager, attempt_id: int, receipt: Receipt, source: Source = _GATEWAY
) -> Reply:
    """Write what became of an attempt: T2. Whoever learns it (request, sweeper, webhook) calls it.

    Repeating it is harmless. A success is never dropped: where the purpose is paid already, the
    attempt ends as ``surplus``, to be refunded by a person. What contradicts a settled attempt is
    noted on it and changes nothing.

    Raises:
        SessionNotFoundError: the session was deleted; a success of it is kept as ``surplus``.
        ResolutionRefusedError: a person's decision (``source``) is not possible, or not any more.

    """
    try:
        return _settle(manager, attempt_id, receipt, source)
    except SessionNotFoundError:
        _keep_orphan(attempt_id, receipt, source)
        raise


def _keep_orphan(attempt_id: int, receipt: Receipt, source: Source) -> None:
    """Write what became of an attempt whose session is gone: a success buys nothing any more."""
    with transaction.atomic(durable=True):
        attempt = ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
        receipt = _of_this(attempt, receipt)
        state = verdicts.state_after(attempt, receipt, source)
        if source.decided_by:
            receipt = notes.record_decision(attempt, state, receipt, source)
        notes.note_contradiction(attempt, receipt, source)
        if state != attempt.state:
            is_success = receipt.outcome is Outcome.SUCCEEDED
            _record(attempt, State.SURPLUS if is_success else state, receipt)
            close_if_nothing_left(attempt)
        notes.count_question(attempt, receipt, source)


def _settle(
    manager: UnifiedSessionManager, attempt_id: int, receipt: Receipt, source: Source
) -> Reply:
    session_id = ChargeAttempt.objects.values_list("session_id", flat=True).get(pk=attempt_id)
    with manager.lock_session(session_id, allow_expired=True, durable=True) as locked:
        attempt = ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
        receipt = _of_this(attempt, receipt)
        state = _state_after(locked.session, attempt, receipt, source)
        if source.decided_by:
            receipt = notes.record_decision(attempt, state, receipt, source)
            data = {"purpose": attempt.purpose, "outcome": state}
            locked.update({}, kind="charge_resolved", data=data)
        notes.note_contradiction(attempt, receipt, source)
        if state != attempt.state:
            _move(locked, attempt, state, receipt)
        notes.count_question(attempt, receipt, source)
        # Another has settled it first: the answer is the one that a repetition gets.
        return idempotency.stored_answer(attempt) or replies.of_settled(locked.session, attempt)


def _state_after(
    session: SessionSnapshot, attempt: ChargeAttempt, receipt: Receipt, source: Source
) -> str:
    """Return the state after a receipt. What was paid and given back is not bought again so."""
    state = verdicts.state_after(attempt, receipt, source)
    if state == attempt.state or receipt.outcome is not Outcome.SUCCEEDED:
        return state
    # A closed one can be given back before its success is heard of: nobody waits for that any more.
    is_back = not attempt.is_open and is_given_back(attempt)
    return State.SURPLUS if is_back or verdicts.was_bought(session, attempt, receipt) else state


def _move(locked: LockedSession, attempt: ChargeAttempt, state: str, receipt: Receipt) -> None:
    """Bring an attempt into another state, and the session with it."""
    was_open = attempt.is_open
    _record(attempt, state, receipt)
    if state == State.SUCCEEDED:
        _take_success(locked, attempt)
    elif state in verdicts.REFUSED or (state == State.VOIDED and was_open):
        _take_refusal(locked, attempt)
    else:
        _note(locked, attempt)
    close_if_nothing_left(attempt)
    if was_open and not attempt.is_open:
        locked.release()
    elif attempt.is_open and not was_open:
        locked.hold()
    reply = replies.of_settled(locked.session, attempt)
    idempotency.answer(attempt, None if attempt.is_open else reply)


def _of_this(attempt: ChargeAttempt, receipt: Receipt) -> Receipt:
    """Return the receipt; one of a transaction that another attempt has names none any more."""
    same = ChargeAttempt.objects.filter(
        gateway=attempt.gateway, transaction_id=receipt.transaction_id
    ).exclude(pk=attempt.pk)
    if receipt.transaction_id is None or not same.exists():
        return receipt
    response = {**receipt.response, "sharedTransactionId": receipt.transaction_id}
    return replace(receipt, transaction_id=None, reason=_SHARED_REASON, response=response)


def _record(attempt: ChargeAttempt, state: str, receipt: Receipt) -> None:
    now = get_clock().now()
    attempt.state = state
    notes.note_review(attempt)
    attempt.next_check_at = verdicts.next_question(attempt, now)
    attempt.transaction_id = receipt.transaction_id or attempt.transaction_id
    attempt.reason = receipt.reason[: notes.TEXT_LENGTH]
    attempt.response = dict(receipt.response)
    attempt.settled_at = None if attempt.is_open else now
    attempt.save()
    book_attempt(attempt, actor=attempt.resolved_by or attempt.gateway)
    labels = (attempt.gateway, state)
    transaction.on_commit(lambda: metrics.CHARGES.labels(*labels).inc())


def _facts(attempt: ChargeAttempt) -> dict[str, Any]:
    return {
        "purpose": attempt.purpose,
        # What another shop system charged may not be on record.
        "amount": None if attempt.amount is None else str(attempt.money),
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
    changes |= order_again(session, attempt)
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
    card = cards.stored_card(session.id)
    if card is not None:
        changes["vault_id"] = card  # the copy follows: another card may have paid for the extra
    is_here = session.current_step == attempt.step and session.status not in {COMPLETED, EXPIRED}
    if offer_id in OFFERS and is_here:
        changes |= flow.step_after(attempt.step)
    locked.update(changes, kind="upsell_succeeded", data=_facts(attempt), checks_flow=False)


def _take_refusal(locked: LockedSession, attempt: ChargeAttempt) -> None:
    session = locked.session
    surplus = ChargeAttempt.objects.select_for_update().filter(
        session_id=attempt.session_id, purpose=attempt.purpose, state=State.SURPLUS
    )
    # One that is being given back has been decided on.
    late = surplus.exclude(refunds__state__in=Refund.OPEN).order_by("pk").first()
    changes: dict[str, Any] = {"payment_token": None}
    is_here = session.current_step == attempt.step and session.status not in {COMPLETED, EXPIRED}
    if late is None and attempt.purpose == CHECKOUT and is_here:
        start = get_flow().start
        changes |= {"status": start.status, "current_step": start.step}
    kind = "charge_declined" if attempt.purpose == CHECKOUT else "upsell_charge_declined"
    if attempt.state == State.VOIDED:
        kind = "charge_voided"
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
    notes.note_review(late)
    late.save()
    book_attempt(late, actor=late.gateway)  # taken off the books until it is decided
    locked.hold()
    _note(locked, late)
    idempotency.answer(late, None)


def _note(locked: LockedSession, attempt: ChargeAttempt) -> None:
    locked.update({}, kind=f"charge_{attempt.state}", data=_facts(attempt))

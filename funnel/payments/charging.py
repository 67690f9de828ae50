"""The charge protocol: never twice, never lost.

**T1**: one short durable transaction, before any network call: the session's lock, every check
inside it, the attempt row, the idempotency record, the event. **N**: one call of the gateway,
outside any transaction and lock. **T2**: one transaction: session, attempt, event and answer
together. A process that dies after T1 leaves an attempt that is *possibly charged*: it is asked
for, never sent again.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, OperationalError, close_old_connections, transaction

from funnel import flow
from funnel.catalog import OFFERS
from funnel.conf import get_conf
from funnel.exceptions import ChargeInFlightError, OutcomeUnsettledError
from funnel.payments import idempotency, replies
from funnel.payments.gateway import Outcome, Receipt, Sale, get_gateway
from funnel.payments.idempotency import Reply
from funnel.payments.models import ChargeAttempt
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError, SessionNotFoundError
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)

CHECKOUT: Final = "checkout"
_UPSELL: Final = "upsell:"
_T2_ATTEMPTS: Final = 4

State = ChargeAttempt.State
_REFUSED: Final = (State.DECLINED, State.REJECTED)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request to charge: which session, under which key, with which body."""

    session_id: str
    key: str
    digest: str


def upsell_purpose(offer_id: str) -> str:
    """Return the purpose of an offer's charge."""
    return f"{_UPSELL}{offer_id}"


def replay(locked: LockedSession, operation: Operation) -> Reply | None:
    """Return the answer of a key that was seen before; None for a new one.

    Raises:
        IdempotencyKeyReusedError: it came with another body.
        ChargeInFlightError: its charge is under way.

    """
    record = idempotency.find(operation.session_id, operation.key, operation.digest)
    if record is None:
        return None
    if record.answer is not None and record.status is not None:
        return Reply(status=record.status, body=record.answer.encode())
    attempt = record.attempt
    if attempt is None or attempt.state == State.CLAIMED:
        raise ChargeInFlightError
    return replies.of_settled(locked.session, attempt)


def refuse_while_open(session_id: str, step: str) -> None:
    """Refuse while another attempt of this step is open.

    Raises:
        ChargeInFlightError: one is.

    """
    attempts = ChargeAttempt.objects.filter(session_id=session_id, step=step)
    if attempts.filter(state__in=ChargeAttempt.OPEN).exists():
        raise ChargeInFlightError


def is_paid(session_id: str, purpose: str) -> bool:
    """Tell whether a purpose has been paid; attempts are the authority."""
    return ChargeAttempt.objects.filter(
        session_id=session_id, purpose=purpose, state=State.SUCCEEDED
    ).exists()


def claim(
    locked: LockedSession,
    operation: Operation,
    *,
    purpose: str,
    step: str,
    amount: Decimal,
    currency: str,
    vault_id: str | None = None,
) -> ChargeAttempt:
    """Write the attempt, its idempotency record and the session's hold: the heart of T1.

    Identifiers are chosen before anything is sent: one order id an attempt, and our own vault id
    at the first sale, so that a lost answer loses no card reference.
    """
    now = get_clock().now()
    attempt = ChargeAttempt.objects.create(
        session_id=operation.session_id,
        purpose=purpose,
        step=step,
        state=State.CLAIMED,
        amount=amount,
        currency=currency,
        gateway=get_gateway().name,
        gateway_order_id=f"fs-{secrets.token_hex(12)}",
        vault_id=vault_id or f"v{secrets.token_hex(12)}",
        lease_until=now + timedelta(seconds=get_conf().LEASE_SECONDS),
        created_at=now,
    )
    idempotency.remember(operation.session_id, operation.key, operation.digest, attempt=attempt)
    locked.hold()
    return attempt


def charge(
    manager: UnifiedSessionManager,
    attempt: ChargeAttempt,
    *,
    payment_token: str | None = None,
    customer: Mapping[str, Any] | None = None,
    email: str | None = None,
) -> Reply:
    """Send the claimed attempt to the gateway, once, and settle it: N and T2.

    Raises:
        OutcomeUnsettledError: the database did not take the receipt; the attempt stays open.

    """
    sale = Sale(
        order_id=attempt.gateway_order_id,
        amount=quantize(_amount(attempt), attempt.currency),
        currency=attempt.currency,
        vault_id=attempt.vault_id or "",
        payment_token=payment_token,
        customer=customer,
        email=email,
    )
    receipt = _send(attempt, sale)
    for number in range(1, _T2_ATTEMPTS + 1):
        try:
            return settle(manager, attempt.pk, receipt)
        except (DatabaseUnavailableError, OperationalError, InterfaceError) as exc:
            # The receipt is in hand: settle again with it, never send again.
            if number == _T2_ATTEMPTS:
                raise OutcomeUnsettledError from exc
            time.sleep(0.05 * 2**number)
            close_old_connections()  # the old one may be what is broken
    raise AssertionError  # pragma: no cover  (the loop returns or raises)


def _amount(attempt: ChargeAttempt) -> Decimal:
    if attempt.amount is None:
        message = "An imported attempt is never charged."
        raise ValueError(message)
    return attempt.amount


def _send(attempt: ChargeAttempt, sale: Sale) -> Receipt:
    """Call the gateway once. Whatever goes wrong leaves the outcome unknown, never declined."""
    gateway = get_gateway()
    left = attempt.lease_until - get_clock().now()
    if left < timedelta(seconds=gateway.timeout_seconds):
        # The sweeper may be asking for it already; nothing has been sent and nothing will be.
        return Receipt(outcome=Outcome.UNKNOWN, reason="The lease ended before it was sent")
    try:
        return gateway.sale(sale)
    except Exception as exc:  # noqa: BLE001  (a gateway's failure is an outcome: unknown)
        logger.warning("A charge's outcome is unknown: %s", type(exc).__name__)
        return Receipt(outcome=Outcome.UNKNOWN, reason=type(exc).__name__)


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
            _record(attempt, State.SURPLUS, receipt)


def _settle(manager: UnifiedSessionManager, attempt_id: int, receipt: Receipt) -> Reply:
    session_id = ChargeAttempt.objects.values_list("session_id", flat=True).get(pk=attempt_id)
    with manager.lock_session(session_id, allow_expired=True, durable=True) as locked:
        attempt = ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
        was_open = attempt.is_open
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
    attempt.transaction_id = receipt.transaction_id or attempt.transaction_id
    attempt.reason = receipt.reason[:200]
    attempt.response = dict(receipt.response)
    attempt.settled_at = None if attempt.is_open else get_clock().now()
    attempt.save()


def _facts(attempt: ChargeAttempt) -> dict[str, Any]:
    amount = None if attempt.amount is None else str(quantize(attempt.amount, attempt.currency))
    return {
        "purpose": attempt.purpose,
        "amount": amount,
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
    offer = OFFERS.get(attempt.purpose.removeprefix(_UPSELL))
    offer_id = attempt.purpose.removeprefix(_UPSELL)
    upsells = session.upsells
    detail = {
        "amount": quantize(_amount(attempt), attempt.currency),
        "currency": attempt.currency,
        "transactionId": attempt.transaction_id,
        "acceptedAt": attempt.settled_at,
    }
    changes: dict[str, Any] = {
        "upsells": {
            "accepted": [*upsells.accepted, offer_id],
            "declined": [each for each in upsells.declined if each != offer_id],
            "details": {**upsells.details, offer_id: _plain(detail)},
        }
    }
    is_here = session.current_step == attempt.step and session.status not in {COMPLETED, EXPIRED}
    if offer is not None and is_here:
        changes |= flow.step_after(attempt.step)
    locked.update(changes, kind="upsell_succeeded", data=_facts(attempt), checks_flow=False)


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: float(value)
        if isinstance(value, Decimal)
        else getattr(value, "isoformat", lambda v=value: v)()
        for name, value in detail.items()
    }


def _take_refusal(locked: LockedSession, attempt: ChargeAttempt) -> None:
    session = locked.session
    changes: dict[str, Any] = {"payment_token": None}
    if attempt.purpose == CHECKOUT and session.current_step == attempt.step:
        start = get_flow().start
        changes |= {"status": start.status, "current_step": start.step}
    kind = "charge_declined" if attempt.purpose == CHECKOUT else "upsell_charge_declined"
    locked.update(changes, kind=kind, data=_facts(attempt), checks_flow=False)


def _note(locked: LockedSession, attempt: ChargeAttempt) -> None:
    locked.update({}, kind=f"charge_{attempt.state}", data=_facts(attempt))

"""A webhook's way: stored, acted on through T2, marked as handled. Each step can be repeated.

An event is a hint, never an order: what it says is compared with the attempt, and where it says
too little the gateway is asked soon.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q

from funnel.payments import verdicts
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.recording import is_charged
from funnel.payments.nmi import codes
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.noting import Told, note_reversal
from funnel.payments.settling import settle
from funnel.payments.verdicts import State
from funnel.payments.webhooks.facts import amount_of, currency_of
from funnel.payments.webhooks.models import GatewayEvent
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError

if TYPE_CHECKING:
    from funnel.payments.webhooks.facts import Event
    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)

# Whoever stored an event acts on it at once; what is left after this long, the sweeper takes.
LEFT_AFTER: Final = timedelta(minutes=1)
_LEFT_AT_ONCE: Final = 500
_UNKNOWN_TYPE: Final = "Nothing to do for an event of this type"
_NO_ATTEMPT: Final = "No charge of ours has this order or transaction id"
_ASKS: Final = "The gateway is asked"
_VOIDED_AT_ONCE: Final = "Known: it was given back before it counted as charged"
_WAITS: Final = "Waits until the charge is settled"


def store(gateway: str, event: Event) -> GatewayEvent:
    """Keep an event, in a transaction of its own; the same event again is the first one."""
    with transaction.atomic(durable=True):
        row, _ = GatewayEvent.objects.get_or_create(
            gateway=gateway,
            event_id=event.event_id,
            defaults={
                "event_type": event.event_type,
                "order_id": event.order_id,
                "transaction_id": event.transaction_id,
                "facts": event.facts,
                "received_at": get_clock().now(),
            },
        )
    return row


def handle(event: GatewayEvent) -> bool:
    """Act on a stored event and mark it as handled; False: it has to wait for its charge."""
    outcome = _act(event)
    is_handled = outcome != _WAITS
    GatewayEvent.objects.filter(pk=event.pk).update(
        outcome=outcome[:200], handled_at=get_clock().now() if is_handled else None
    )
    return is_handled


def handle_left() -> int:
    """Act on stored events that nobody has handled for a minute; return how many were."""
    before = get_clock().now() - LEFT_AFTER
    left = GatewayEvent.objects.filter(handled_at=None, received_at__lte=before)
    handled = 0
    for event in left.order_by("received_at", "pk")[:_LEFT_AT_ONCE]:
        try:
            handled += handle(event)
        except Exception:
            logger.exception("Gateway event %s could not be handled", event.event_id)
    return handled


def _act(event: GatewayEvent) -> str:
    kind, _, result = event.event_type.removeprefix("transaction.").partition(".")
    if event.event_type.startswith("transaction.") and kind == "sale":
        return _of_sale(event, result)
    if event.event_type in {"transaction.void.success", "transaction.refund.success"}:
        return _of_reversal(event, is_void=kind == "void")
    return _UNKNOWN_TYPE


# Sales


def _of_sale(event: GatewayEvent, result: str) -> str:
    attempt = _attempt_of_order(event)
    if attempt is None:
        return _NO_ATTEMPT
    receipt = _receipt(event, result)
    return _ask_soon(attempt) if receipt is None else _settle(attempt, receipt)


def _attempt_of_order(event: GatewayEvent) -> ChargeAttempt | None:
    if not event.order_id:
        return None
    return ChargeAttempt.objects.filter(
        gateway=event.gateway, gateway_order_id=event.order_id
    ).first()


def _receipt(event: GatewayEvent, result: str) -> Receipt | None:
    """Return what an event of a sale says; None: too little to settle anything by it."""
    code, text = event.facts.get("code", ""), event.facts.get("text", "")
    if result == "success":
        amount, currency = amount_of(event.facts), currency_of(event.facts)
        if not event.transaction_id or amount is None or currency is None:
            return None
        return _receipt_of(event, Outcome.SUCCEEDED)
    if result == "failure" and codes.is_decline(code):
        return _receipt_of(event, Outcome.DECLINED)
    if result == "failure" and codes.is_refusal(code, text):
        return _receipt_of(event, Outcome.REJECTED)
    return None


def _receipt_of(event: GatewayEvent, outcome: Outcome) -> Receipt:
    return Receipt(
        outcome=outcome,
        transaction_id=event.transaction_id or None,
        amount=amount_of(event.facts),
        currency=currency_of(event.facts),
        reason=event.facts.get("text", ""),
        response={**event.facts, "event": event.event_id},
    )


def _settle(attempt: ChargeAttempt, receipt: Receipt) -> str:
    try:
        settle(_manager(attempt.gateway), attempt.pk, receipt)
    except SessionNotFoundError:
        logger.info("The session of charge attempt %s is gone; the attempt is kept", attempt.pk)
    attempt.refresh_from_db(fields=["state"])
    return f"{receipt.outcome.value.capitalize()}. Charge: {_words(attempt)}"


def _ask_soon(attempt: ChargeAttempt) -> str:
    """Let the next sweep ask for the attempt; one in flight is asked for after its lease."""
    rows = ChargeAttempt.objects.filter(pk=attempt.pk, state__in=verdicts.ASKED_FOR)
    if rows.update(next_check_at=get_clock().now()):
        return _ASKS
    return f"It says too little: the charge stays {_words(attempt)}"


# Voids and refunds


def _of_reversal(event: GatewayEvent, *, is_void: bool) -> str:
    attempt = _attempt_of_order(event) or _attempt_of_reversal(event, is_void=is_void)
    if attempt is None:
        return _NO_ATTEMPT
    if is_void and attempt.state not in verdicts.CHARGED:
        # It overtook the sale's own event: charged, and given back before it was settled.
        return _settle(attempt, _receipt_of(event, Outcome.VOIDED))
    if is_void and not is_charged(attempt):
        return _VOIDED_AT_ONCE
    if attempt.is_open:
        _ask_soon(attempt)
        return _WAITS
    told = Told(
        kind=Refund.Kind.VOID if is_void else Refund.Kind.REFUND,
        transaction_id=event.transaction_id,
        amount=amount_of(event.facts),
        currency=currency_of(event.facts),
        order_id=event.order_id or None,
        response=event.facts,
    )
    is_taken = note_reversal(_manager(event.gateway), attempt, told) is not None
    return f"Given back: {told.kind}" if is_taken else "It does not fit what is known"


def _attempt_of_reversal(event: GatewayEvent, *, is_void: bool) -> ChargeAttempt | None:
    """Return the attempt that a void changes, or that a refund, a transaction of its own, is of.

    The void of a refund changes that one, which is of an attempt too.
    """
    attempts = ChargeAttempt.objects.filter(gateway=event.gateway)
    if is_void:
        voided = attempts.filter(transaction_id=event.transaction_id or None).first()
        if voided is not None:
            return voided
    ours = Refund.objects.filter(gateway=event.gateway).select_related("attempt")
    same = Q(gateway_order_id=event.order_id)
    if is_void and event.transaction_id:
        same |= Q(transaction_id=event.transaction_id)
    refund = ours.filter(same).first()
    if refund is not None:
        return refund.attempt
    if is_void:
        return None
    names = {event.transaction_id, event.facts.get("originalTransactionId", "")} - {""}
    return attempts.filter(transaction_id__in=names).first()


def _manager(gateway: str) -> UnifiedSessionManager:
    manager = get_manager()
    manager.actor = f"gateway:{gateway}"
    return manager


def _words(attempt: ChargeAttempt) -> str:
    return State(attempt.state).label.lower()

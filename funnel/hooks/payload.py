"""What a target is told, made from the database when it is told.

No vault id, no payment token, nothing of a card: only what is named here leaves the shop.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Prefetch

from funnel.hooks.event import HookEvent
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.recording import is_charged
from funnel.payments.money_log.statement import statement
from funnel.payments.refunds.models import Refund
from sessions_unified.money import quantize
from sessions_unified.snapshot import freeze
from sessions_unified.tiers import get_tiers
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from funnel.hooks.models import HookDelivery
    from sessions_unified.snapshot import Product, SessionSnapshot


def event_of(delivery: HookDelivery) -> HookEvent:
    """Return the event with the order as it is now.

    Raises:
        django.db.Error, DatabaseUnavailableError: the database did not answer.

    """
    money = statement(delivery.session_id).to_json()
    return HookEvent(
        id=delivery.event_id,
        type=delivery.type,
        session_id=delivery.session_id,
        sequence=delivery.seq,
        created_at=delivery.occurred_at,
        data=freeze(delivery.facts),
        session=freeze(_session(delivery.session_id)),
        charges=tuple(freeze(charge) for charge in _charges(delivery.session_id)),
        totals=freeze(money["totals"]),
    )


def _session(session_id: str) -> dict[str, Any] | None:
    """Return the order; None for one that is deleted or purged: only a tombstone is left."""
    copy = get_tiers().database.peek(session_id)
    return None if copy is None else _order(copy.session)


def _order(session: SessionSnapshot) -> dict[str, Any]:
    metadata = {name: each for name, each in session.metadata.items() if name != INTERNAL_METADATA}
    return {
        "id": session.id,
        "email": session.email,
        "customer": session.customer,
        "products": [_product(each, session.currency) for each in session.products],
        "amount": None if session.amount is None else str(session.amount),
        "currency": session.currency,
        "status": session.status,
        "currentStep": session.current_step,
        "transactionId": session.transaction_id,
        "upsells": {
            "accepted": list(session.upsells.accepted),
            "declined": list(session.upsells.declined),
        },
        "metadata": metadata,
        "version": session.version,
        "createdAt": session.created_at.isoformat(),
        "updatedAt": session.updated_at.isoformat(),
    }


def _product(product: Product, currency: str) -> dict[str, Any]:
    price = product.price
    return {
        "id": product.id,
        "name": product.name,
        "quantity": product.quantity,
        "price": None if price is None else _text(price, currency),
    }


def _charges(session_id: str) -> list[dict[str, Any]]:
    succeeded = Refund.objects.filter(state=Refund.State.SUCCEEDED).order_by("settled_at", "pk")
    attempts = (
        ChargeAttempt.objects.filter(session_id=session_id)
        .order_by("settled_at", "pk")
        .prefetch_related(Prefetch("refunds", succeeded))
    )
    return [_charge(attempt) for attempt in attempts if is_charged(attempt)]


def _charge(attempt: ChargeAttempt) -> dict[str, Any]:
    settled, refunds = attempt.settled_at, list(attempt.refunds.all())
    return {
        "purpose": attempt.purpose,
        "state": attempt.state,
        # What another shop system charged before an import may not be on record.
        "amount": None if attempt.amount is None else str(attempt.money),
        "refunded": _text(sum((each.amount for each in refunds), Decimal(0)), attempt.currency),
        "currency": attempt.currency,
        "gateway": attempt.gateway,
        "transactionId": attempt.transaction_id,
        "chargedAt": None if settled is None else settled.isoformat(),
        "lines": attempt.lines,
        "refunds": [_refund(refund, attempt.currency) for refund in refunds],
    }


def _refund(refund: Refund, currency: str) -> dict[str, Any]:
    return {
        "kind": refund.kind,
        "amount": _text(refund.amount, currency),
        "transactionId": refund.transaction_id,
        "refundedAt": None if refund.settled_at is None else refund.settled_at.isoformat(),
        "lines": refund.lines,
    }


def _text(amount: Decimal, currency: str) -> str:
    return str(quantize(amount, currency))

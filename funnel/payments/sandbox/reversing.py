"""How the sandbox gives money back, and what its books then say of a charge."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Sum

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.sandbox.models import SandboxCharge, SandboxReversal

if TYPE_CHECKING:
    from funnel.payments.gateway import Reversal


def reverse(reversal: Reversal, *, transaction_id: str) -> Receipt:
    """Void or refund a charge; ``transaction_id`` is the reversal's own."""
    with transaction.atomic():
        charge = (
            SandboxCharge.objects.select_for_update()
            .filter(transaction_id=reversal.transaction_id)
            .first()
        )
        refusal = "There is no such charge" if charge is None else _refusal(charge, reversal)
        if charge is None or refusal:
            return Receipt(outcome=Outcome.REJECTED, reason=refusal, response={"code": "300"})
        made = SandboxReversal.objects.create(
            charge=charge,
            order_id=reversal.order_id,
            transaction_id=transaction_id,
            amount=charge.amount if reversal.is_void else reversal.amount,
            is_void=reversal.is_void,
        )
    return receipt_of(made)


def receipt_of(made: SandboxReversal) -> Receipt:
    """Return what is said of a reversal that was done."""
    return Receipt(
        outcome=Outcome.SUCCEEDED,
        transaction_id=made.transaction_id,
        amount=made.amount,
        currency=made.charge.currency,
        reason="APPROVED",
        response={"code": "100"},
        order_id=made.order_id,
    )


def is_voided(charge: SandboxCharge) -> bool:
    """Tell whether all of it was given back before it was settled."""
    return charge.reversals.filter(is_void=True).exists()


def _refusal(charge: SandboxCharge, reversal: Reversal) -> str:
    """Return why it cannot be given back so; empty: it can."""
    if charge.currency != reversal.currency:
        return "The charge is in another currency"
    given = charge.reversals.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    if reversal.is_void:
        return "Something was given back already" if given else ""
    if not 0 < reversal.amount <= charge.amount - given:
        return "There is not as much left to give back"
    return ""

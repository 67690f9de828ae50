"""A person decides on a refund that the gateway gave no conclusive answer about."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from funnel.conf import get_conf
from funnel.exceptions import RefundRefusedError
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.settling import settle_refund
from funnel.payments.verdicts import Source
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.manager import UnifiedSessionManager


def resolve_refund(
    manager: UnifiedSessionManager, refund_id: int, *, transaction_id: str | None, reason: str
) -> Refund:
    """Settle a refund in review by a person's word; the manager's actor is who says it.

    ``transaction_id`` is the gateway's, exactly; None: it was not executed.

    Raises:
        RefundRefusedError: it is not in review, or not for long enough, or no reason is given, or
            another refund has this transaction.

    """
    refund = Refund.objects.select_related("attempt").get(pk=refund_id)
    reason = reason.strip()
    if not reason:
        message = "Say how you know."
        raise RefundRefusedError(message)
    if transaction_id is None:
        _check_waited(refund)
        receipt = Receipt(outcome=Outcome.REJECTED, reason="Not executed, says a person")
    else:
        transaction_id = transaction_id.strip()
        _check_transaction(refund, transaction_id)
        receipt = Receipt(
            outcome=Outcome.SUCCEEDED,
            transaction_id=transaction_id,
            reason="Executed, says a person",
            response=refund.response,
        )
    source = Source(decided_by=manager.actor, reason=reason)
    return settle_refund(manager, refund_id, receipt, source)


def not_executed_from(refund: Refund) -> datetime | None:
    """Return when "not executed" may be said: a late answer has had its time by then."""
    if refund.review_since is None:
        return None
    return refund.review_since + timedelta(seconds=get_conf().REVIEW_SECONDS)


def _check_waited(refund: Refund) -> None:
    begins = not_executed_from(refund)
    if begins is None or get_clock().now() < begins:
        message = "It is too early to say that it was not executed: its answer may still come."
        raise RefundRefusedError(message)


def _check_transaction(refund: Refund, transaction_id: str) -> None:
    if not transaction_id or len(transaction_id) > 100:  # noqa: PLR2004  (the column)
        message = "Give the gateway's transaction id."
        raise RefundRefusedError(message)
    if refund.kind == Refund.Kind.VOID:
        return  # a void has the transaction of its sale
    same = Refund.objects.filter(gateway=refund.gateway, transaction_id=transaction_id)
    is_sale = refund.attempt.transaction_id == transaction_id
    if is_sale or same.exclude(pk=refund.pk).exists():
        message = "This transaction is of another charge or refund."
        raise RefundRefusedError(message)

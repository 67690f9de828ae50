"""What T2 notes on an attempt beside its state: for staff, and for whoever asks the gateway next.

Inside the transaction that holds the attempt's lock.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from django.db import transaction

from funnel.exceptions import ResolutionRefusedError
from funnel.payments import metrics, verdicts
from funnel.payments.gateway import Outcome
from funnel.payments.models import ChargeAttempt
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from funnel.payments.gateway import Receipt
    from funnel.payments.verdicts import Source

logger = logging.getLogger(__name__)

State = ChargeAttempt.State
TEXT_LENGTH: Final = 200


def note_contradiction(attempt: ChargeAttempt, receipt: Receipt, source: Source) -> None:
    """Keep, for staff, what a gateway says against the attempt; it changes nothing else."""
    found = verdicts.contradiction(attempt, receipt)[:TEXT_LENGTH]
    if source.decided_by or not found or found == attempt.discrepancy:
        return
    attempt.discrepancy = found
    attempt.save(update_fields=["discrepancy"])
    logger.error("Charge attempt %s (%s): %s", attempt.pk, attempt.state, found)
    gateway = attempt.gateway
    transaction.on_commit(lambda: metrics.DISCREPANCIES.labels(gateway).inc())


def count_question(attempt: ChargeAttempt, receipt: Receipt, source: Source) -> None:
    """Count an inconclusive answer, and put off the next question: ever longer."""
    if not source.is_inquiry or receipt.outcome is not Outcome.UNKNOWN:
        return
    if attempt.state in {State.UNKNOWN, State.NEEDS_REVIEW}:
        attempt.checks += 1
        attempt.next_check_at = verdicts.next_question(attempt, get_clock().now())
        attempt.save(update_fields=["checks", "next_check_at"])


def record_decision(
    attempt: ChargeAttempt, state: str, receipt: Receipt, source: Source
) -> Receipt:
    """Record who decided and why; return the receipt with what they decided in spite of.

    Raises:
        ResolutionRefusedError: somebody or something has decided meanwhile, or the receipt is not
            of this charge.

    """
    if attempt.state != State.NEEDS_REVIEW:
        message = f"It is not in review any more: it is {attempt.get_state_display().lower()}."
        raise ResolutionRefusedError(message)
    if state == State.NEEDS_REVIEW:
        found = "; ".join(verdicts.differences(attempt, receipt, is_decided=True))
        message = f"This is not the charge that was sent. The gateway says: {found}."
        raise ResolutionRefusedError(message)
    attempt.resolved_by = source.decided_by
    attempt.resolved_reason = source.reason
    attempt.resolved_at = get_clock().now()
    if not attempt.discrepancy:
        return receipt
    # They have seen it: it is part of the story now, and no longer a call for somebody to look.
    said, attempt.discrepancy = attempt.discrepancy, ""
    return replace(receipt, reason=f"{receipt.reason}. Before: {said}")


def note_review(attempt: ChargeAttempt) -> None:
    """Keep since when it has been in review; the caller saves it."""
    is_in_review = attempt.state == State.NEEDS_REVIEW
    attempt.review_since = (attempt.review_since or get_clock().now()) if is_in_review else None

"""The sweeper: asks gateways for the charges whose outcome is unknown. It never sends one again.

Each batch is taken in a short transaction that puts its next question off, and only then asked:
two sweepers take different attempts, and what a killed one had taken comes up again later.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Q

from funnel.payments import metrics, verdicts
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery.gateways import gateway_named
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.noting import Told, note_reversal
from funnel.payments.settling import settle
from funnel.payments.verdicts import Source, State
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError, SessionsUnifiedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from funnel.payments.gateway import PaymentGateway

logger = logging.getLogger(__name__)

# Far below the tasks' limit, one gateway's whole timeout included.
RUN_SECONDS: Final = 60
BATCH_SIZE: Final = 20
# A gateway that failed so often in one run is left in peace until the next.
_FAILURES: Final = 3
_ACTOR: Final = "sweeper"
_INQUIRY: Final = Source(is_inquiry=True)
_NO_RECORD: Final = Receipt(outcome=Outcome.UNKNOWN, reason="The gateway has no record of it (yet)")

SETTLED: Final = "settled"
INCONCLUSIVE: Final = "inconclusive"
REVIEW: Final = "review"
UNREACHABLE: Final = "unreachable"
UNCONFIGURED: Final = "unconfigured"
FAILED: Final = "failed"


def _silent(attempt: ChargeAttempt, result: str) -> None:
    """Tell nobody."""


def sweep(
    *,
    seconds: float = RUN_SECONDS,
    tell: Callable[[ChargeAttempt, str], None] = _silent,
    timer: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Ask for the attempts that are due, until none is left or the time is up.

    One that fails does not stop the rest. ``tell`` hears of each with its result; returned is how
    many had which.
    """
    deadline = timer() + seconds
    results: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    while timer() < deadline and (batch := take_batch()):
        for attempt in batch:
            if timer() >= deadline:
                break
            if failures[attempt.gateway] >= _FAILURES:
                continue
            result = ask(attempt)
            failures[attempt.gateway] += result == UNREACHABLE
            results[result] += 1
            metrics.QUESTIONS.labels(attempt.gateway, result).inc()
            tell(attempt, result)
    return results


def take_batch(size: int = BATCH_SIZE) -> list[ChargeAttempt]:
    """Take the attempts that have been due longest, and put their next question off.

    A claimed one is due only after its lease: until then its own request may still send it.
    """
    now = get_clock().now()
    is_free = Q(state=State.UNKNOWN) | Q(state=State.CLAIMED, lease_until__lte=now)
    due = ChargeAttempt.objects.filter(
        is_free, state__in=verdicts.ASKED_FOR, next_check_at__lte=now
    ).exclude(gateway=IMPORTED)
    with transaction.atomic(durable=True):
        # The session is not locked, and T2 locks it first: nothing waits here for an attempt.
        rows = due.select_for_update(skip_locked=True).order_by("next_check_at", "pk")
        batch = list(rows[:size])
        for attempt in batch:
            attempt.next_check_at = now + verdicts.pause(attempt.checks)
        ChargeAttempt.objects.bulk_update(batch, ["next_check_at"])
    return batch


def ask(attempt: ChargeAttempt) -> str:
    """Ask the attempt's gateway, and settle what it says; return the result."""
    try:
        gateway = gateway_named(attempt.gateway)
        if gateway is None:
            return _leave(attempt)
        receipt = _question(gateway, attempt)
        if receipt is None:
            return _back_off(attempt)
        return _settle(attempt, receipt)
    except (SessionsUnifiedError, DatabaseError) as exc:
        logger.warning("Charge attempt %s is left to a later sweep: %s", attempt.pk, exc)
    except Exception:
        logger.exception("Charge attempt %s could not be swept", attempt.pk)
    return FAILED


def _question(gateway: PaymentGateway, attempt: ChargeAttempt) -> Receipt | None:
    """Return what the gateway says; None: it could not be asked."""
    try:
        return gateway.query(attempt.gateway_order_id) or _NO_RECORD
    except Exception as exc:  # noqa: BLE001  (whatever a gateway raises: there is no answer)
        name = type(exc).__name__
        logger.warning("Gateway %s could not be asked for attempt %s: %s", *_who(attempt), name)
        return None


def _settle(attempt: ChargeAttempt, receipt: Receipt) -> str:
    manager = get_manager()
    manager.actor = _ACTOR
    try:
        settle(manager, attempt.pk, receipt, _INQUIRY)
    except SessionNotFoundError:
        logger.info("The session of charge attempt %s is gone; the attempt is kept", attempt.pk)
    attempt.refresh_from_db()
    state = attempt.state
    if receipt.outcome is Outcome.VOIDED and state in {State.SUCCEEDED, State.SURPLUS}:
        # Settled by another since it was taken; that it was given back is news all the same.
        told = Told(kind=Refund.Kind.VOID, transaction_id=attempt.transaction_id or "")
        note_reversal(manager, attempt, told)
    if state == State.NEEDS_REVIEW:
        return REVIEW
    return INCONCLUSIVE if state in verdicts.ASKED_FOR else SETTLED


def _back_off(attempt: ChargeAttempt) -> str:
    """Put off the next question without counting this one: the gateway has not answered it.

    The pause is as long as the attempt is old, within the limits, so it doubles each time.
    """
    now = get_clock().now()
    wait = max(verdicts.pause(attempt.checks), now - attempt.created_at)
    _put_off(attempt, now + min(wait, verdicts.longest_pause()))
    return UNREACHABLE


def _leave(attempt: ChargeAttempt) -> str:
    """Leave an attempt that nobody here can ask for, until its gateway is configured again."""
    logger.error(
        "Gateway %s is not configured here, so charge attempt %s stays open: configure it, or "
        "decide on the attempt in the admin",
        *_who(attempt),
    )
    _put_off(attempt, get_clock().now() + verdicts.longest_pause())
    return UNCONFIGURED


def _put_off(attempt: ChargeAttempt, until: datetime) -> None:
    rows = ChargeAttempt.objects.filter(pk=attempt.pk, state__in=verdicts.ASKED_FOR)
    rows.update(next_check_at=until)


def _who(attempt: ChargeAttempt) -> tuple[str, int]:
    return attempt.gateway, attempt.pk

"""Celery tasks: they carry no state, only wake work that the database records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from celery import shared_task

from sessions_unified import auditing, touches
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import Tiers, get_tiers
from sessions_unified.upkeep.cleaning import Cleaner
from sessions_unified.upkeep.pacing import database_pacer

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# One run of cleaning stops here and leaves the rest to the next, so that a backlog cannot hold a
# worker.
_RUN_SECONDS: Final = 25


def _attempt(work: Callable[[], int]) -> int:
    """Return what ``work`` did; a tier that is down is for the next run."""
    try:
        return work()
    except TierUnavailableError as exc:
        logger.warning("Left to the next run: %s", exc)
        return 0


def _cleaner(tiers: Tiers, batch_size: int | None) -> Cleaner:
    pacer = database_pacer(tiers, largest=batch_size, limit_seconds=_RUN_SECONDS)
    return Cleaner(tiers=tiers, pacer=pacer)


@shared_task(name="sessions_unified.expire_due_sessions", ignore_result=True)
def expire_due_sessions(batch_size: int | None = None) -> int:
    """Settle the sessions past their end, pending touches counted; return how many."""
    tiers = get_tiers()
    return _attempt(lambda: _cleaner(tiers, batch_size).settle().done)


@shared_task(name="sessions_unified.flush_pending_touches", ignore_result=True)
def flush_pending_touches() -> int:
    """Write pending touches to the database; return how many."""
    tiers = get_tiers()
    return _attempt(lambda: touches.flush_touches(tiers))


@shared_task(name="sessions_unified.purge_finished_sessions", ignore_result=True)
def purge_finished_sessions(batch_size: int | None = None) -> int:
    """Purge sessions past the retention period and old events; return how many sessions."""
    cleaner = _cleaner(get_tiers(), batch_size)

    def purge() -> int:
        cleaner.drop_events()
        return cleaner.purge().done

    return _attempt(purge)


@shared_task(name="sessions_unified.audit_tiers_sample", ignore_result=True)
def audit_tiers_sample() -> int:
    """Compare the tiers for some sessions, and heal; return how many divergences remain."""
    return auditing.audit_sample()

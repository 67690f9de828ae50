"""Celery tasks: they carry no state, only wake work that the database records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import shared_task

from sessions_unified import sweeping, touches
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

# One run stops here and leaves the rest to the next, so that a backlog cannot hold a worker.
_MAX_BATCHES = 100


def _run_batches(batch: Callable[[], int], batch_size: int) -> int:
    total = 0
    for _ in range(_MAX_BATCHES):
        done = batch()
        total += done
        if done < batch_size:
            break
    return total


@shared_task(name="sessions_unified.expire_due_sessions", ignore_result=True)
def expire_due_sessions(batch_size: int = 500) -> int:
    """Settle the sessions past their end, pending touches counted; return how many."""
    tiers = get_tiers()

    def settle() -> int:
        now = tiers.clock.now()
        touches.flush_touches(tiers)
        return sweeping.expire_due(tiers, batch_size=batch_size, now=now)

    return _run_batches(settle, batch_size)


@shared_task(name="sessions_unified.flush_pending_touches", ignore_result=True)
def flush_pending_touches() -> int:
    """Write pending touches to the database; return how many."""
    return touches.flush_touches(get_tiers())


@shared_task(name="sessions_unified.purge_finished_sessions", ignore_result=True)
def purge_finished_sessions(batch_size: int = 500) -> int:
    """Purge sessions past the retention period and old events; return how many sessions."""
    tiers = get_tiers()
    _run_batches(lambda: sweeping.drop_old_events(tiers), 5000)
    return _run_batches(lambda: sweeping.purge_finished(tiers, batch_size=batch_size), batch_size)

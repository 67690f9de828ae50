"""Delivering again what has failed, or what a target has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

State = HookDelivery.State
REPLAYABLE = (State.FAILED, State.DELIVERED)


def select(
    *,
    state: str = State.FAILED,
    session_id: str | None = None,
    target: str | None = None,
    since: datetime | None = None,
) -> QuerySet[HookDelivery]:
    """Return the deliveries in a state, of one session, one target, and from a time on."""
    found = HookDelivery.objects.filter(state=state)
    if session_id is not None:
        found = found.filter(session_id=session_id)
    if target is not None:
        found = found.filter(target=target)
    if since is not None:
        found = found.filter(occurred_at__gte=since)
    return found


def replay(deliveries: QuerySet[HookDelivery]) -> int:
    """Make those that failed or were delivered due now, with all their tries; return how many.

    What still waits is left alone: it comes by itself. A session's go in their order again.
    """
    return deliveries.filter(state__in=REPLAYABLE).update(
        state=State.PENDING,
        tries=0,
        next_try_at=get_clock().now(),
        delivered_at=None,
        last_error="",
    )

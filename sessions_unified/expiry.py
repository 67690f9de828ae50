"""When a session ends: idle and absolute limits by step, and the receipt limit after success.

Rules 6 and 8 of `manager`. The same limits as SQL for batches: `sessions_unified.upkeep.sweeping`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sessions_unified.conf import get_conf
from sessions_unified.flow import COMPLETED, EXPIRED

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot


def absolute_limit(created_at: datetime) -> datetime:
    """Return when a session born at ``created_at`` ends, whatever its activity."""
    return created_at + timedelta(seconds=get_conf().ABSOLUTE_LIMIT_SECONDS)


def deadline(*, status: str, step: str, created_at: datetime, now: datetime) -> datetime:
    """Return ``expires_at`` for a session that is active, or completed, at ``now``."""
    conf = get_conf()
    if status == COMPLETED:
        return now + timedelta(seconds=conf.RECEIPT_LIMIT_SECONDS)
    limit = absolute_limit(created_at)
    idle = conf.IDLE_LIMIT_SECONDS.get(step)
    return limit if idle is None else min(limit, now + timedelta(seconds=idle))


def deadline_after_change(
    before: SessionSnapshot, *, status: str, step: str, now: datetime
) -> datetime:
    """Return ``expires_at`` after a change of ``before`` at ``now``.

    At the same step a change never shortens it. A deadline that staff set past the absolute
    limit stands until the session completes; completing starts the receipt limit, once.
    """
    if status == COMPLETED == before.status:
        return before.expires_at
    wanted = deadline(status=status, step=step, created_at=before.created_at, now=now)
    if status == COMPLETED:
        return wanted
    set_by_staff = before.expires_at > absolute_limit(before.created_at)
    if set_by_staff or step == before.current_step:
        return max(before.expires_at, wanted)
    return wanted


def may_be_touched(session: SessionSnapshot, now: datetime) -> bool:
    """Return whether a touch that nobody can read now might keep ``session`` alive."""
    has_idle_limit = session.current_step in get_conf().IDLE_LIMIT_SECONDS
    is_open = session.status not in {COMPLETED, EXPIRED}
    return has_idle_limit and is_open and now < absolute_limit(session.created_at)


def effective_deadline(session: SessionSnapshot, last_seen_at: datetime | None) -> datetime:
    """Return when ``session`` really ends, its touches counted.

    A touch slides the idle limit, never past the absolute one (promise R28).
    """
    idle = get_conf().IDLE_LIMIT_SECONDS.get(session.current_step)
    if last_seen_at is None or idle is None or session.status == COMPLETED:
        return session.expires_at
    touched = min(absolute_limit(session.created_at), last_seen_at + timedelta(seconds=idle))
    return max(session.expires_at, touched)

"""Whether this process's token keys work, asking no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sessions_unified import ids, tokens
from sessions_unified.clock import Clock


class _HostClock(Clock):
    """The host's own time: the core's clock may ask a database that hangs."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def check_token_keys() -> None:
    """Issue a token and open it.

    Raises:
        ValueError, SessionsUnifiedError, ImproperlyConfigured: it does not work.

    """
    clock = _HostClock()
    now = clock.now()
    session_id = ids.mint_session_id(0)
    token = tokens.issue(session_id, now=now, expires_at=now + timedelta(minutes=1))
    if tokens.open_token(token, clock=clock) != session_id:
        raise ValueError("A token opens another session than it was issued for.")

"""A clock that moves only when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sessions_unified.clock import Clock


class FrozenClock(Clock):
    """Stands at ``at`` until `advance`."""

    def __init__(self, at: datetime | None = None) -> None:
        self._now = at or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._now

    def elapsed(self) -> float:
        """Return the same time as seconds."""
        return self._now.timestamp()

    def advance(self, **duration: float) -> None:
        """Move forward by a `timedelta`'s keywords: ``advance(seconds=61)``."""
        self._now += timedelta(**duration)

"""The in-memory twin of a cache tier: the contract in its plainest form."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from sessions_unified.tiers.base import Copy, Read, Tier

if TYPE_CHECKING:
    from sessions_unified.clock import Clock


class InMemoryTier(Tier):
    """One dict of id → copy or lease. For tests and for reading; not for threads."""

    name: ClassVar[str] = "in-memory"
    supports_fill: ClassVar[bool] = True

    def __init__(self, *, clock: Clock, staleness_bound_seconds: float = 60) -> None:
        self._clock = clock
        self._bound = timedelta(seconds=staleness_bound_seconds)
        self._held: dict[str, Copy | str] = {}

    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease."""
        copy = self.peek(session_id)
        if copy is not None:
            return Read(copy)
        held = self._held.get(session_id)
        if not isinstance(held, str):
            held = self._held[session_id] = secrets.token_hex(8)
        return Read(None, held)

    def peek(self, session_id: str) -> Copy | None:
        """Return what is held and young enough."""
        held = self._held.get(session_id)
        if isinstance(held, Copy) and self._clock.now() - held.true_at < self._bound:
            return held
        return None

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` while its lease stands."""
        if self._held.get(copy.session.id) != lease:
            return False
        self._held[copy.session.id] = copy
        return True

    def put(self, copy: Copy) -> None:
        """Replace an older copy; end a lease."""
        held = self._held.get(copy.session.id)
        if isinstance(held, str):
            del self._held[copy.session.id]
        elif held is not None and held.session.version < copy.session.version:
            self._held[copy.session.id] = copy

    def delete(self, session_id: str, version: int) -> None:
        """Remove copy and lease."""
        self._held.pop(session_id, None)

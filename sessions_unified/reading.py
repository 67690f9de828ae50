"""Reads through the tiers: leases, fills, one load a key, and no session past its end."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sessions_unified import expiry, sweeping, touches
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import (
    SessionExpiredError,
    SessionNotFoundError,
    TierUnavailableError,
)
from sessions_unified.flow import COMPLETED, EXPIRED
from sessions_unified.tiers.base import Copy, Read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

Answer = TypeVar("Answer")


class TieredReader:
    """One manager's reads, within one Redis budget; rules 2, 3, 5, 6 and 8 of `manager`.

    Attributes:
        degraded: why answers were degraded so far.

    """

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._redis_ms_left = get_conf().REDIS_BUDGET_MS
        self.degraded: set[str] = set()

    def in_transaction(self) -> bool:
        """Whether a read may see this thread's uncommitted writes, which no cache may keep."""
        return self._tiers.database.connection.in_atomic_block

    def get(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        """Return the session; see ``manager.get_session``."""
        return self._alive(self._copy(session_id, fresh=fresh))

    def get_many(self, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
        """Return those that exist and are alive; see ``manager.get_sessions``."""
        wanted = list(dict.fromkeys(session_ids))
        found = self._copies(wanted)
        alive = {}
        for session_id in wanted:
            if session_id in found:
                with suppress(SessionExpiredError, SessionNotFoundError):
                    alive[session_id] = self._alive(found[session_id])
        return alive

    def load(self, session_id: str) -> Copy:
        """Return the row as a copy.

        Raises:
            SessionNotFoundError: there is none.

        """
        copy = self._tiers.database.peek(session_id)
        if copy is None:
            raise SessionNotFoundError
        return copy

    def _copies(self, wanted: list[str]) -> dict[str, Copy]:
        found: dict[str, Copy] = {}
        if not self.in_transaction():
            if self._tiers.memory is not None:
                found = self._tiers.memory.peek_many(wanted)
            missing = [key for key in wanted if key not in found]
            redis = self._tiers.redis
            if redis is not None and missing:
                found |= self._redis(lambda: redis.peek_many(missing)) or {}
        missing = [key for key in wanted if key not in found]
        return found | (self._tiers.database.peek_many(missing) if missing else {})

    def _copy(self, session_id: str, *, fresh: bool = False) -> Copy:
        if fresh or self.in_transaction():
            return self.load(session_id)
        memory = self._tiers.memory
        first = memory.read(session_id) if memory is not None else Read(None)
        if first.copy is not None:
            return first.copy
        if memory is None or first.lease is None:
            return self._read_through(session_id)
        lease = first.lease

        def load() -> Copy:
            try:
                copy = self._read_through(session_id)
                memory.fill(copy, lease)
                return copy
            finally:
                memory.release(session_id, lease)

        return self._tiers.flights.do(lease, load)

    def _read_through(self, session_id: str) -> Copy:
        redis = self._tiers.redis
        if redis is None:
            return self.load(session_id)
        second = self._redis(lambda: redis.read(session_id)) or Read(None)
        if second.copy is not None:
            return second.copy
        copy = self.load(session_id)
        lease = second.lease
        if lease is not None:
            self._redis(lambda: redis.fill(copy, lease))
        return copy

    def _redis(self, operation: Callable[[], Answer]) -> Answer | None:
        """Run a Redis operation within what is left of this manager's budget; None if it fails."""
        if self._redis_ms_left <= 0:
            self.degraded.add("redis")
            return None
        began = time.monotonic()
        try:
            return operation()
        except TierUnavailableError:
            self.degraded.add("redis")
            return None
        finally:
            self._redis_ms_left -= (time.monotonic() - began) * 1000

    def _alive(self, copy: Copy) -> SessionSnapshot:
        session = copy.session
        if session.status != EXPIRED and self._tiers.clock.now() < session.expires_at:
            return session
        return self._past_end(session.id)

    def _past_end(self, session_id: str) -> SessionSnapshot:
        """Judge by the row and its touches; settle what is due, even with cleanup stopped."""
        row = self._tiers.database.row(session_id)
        if row is None:
            raise SessionNotFoundError
        session = row.copy.session
        seen = touches.pending_touch(self._tiers, session_id)
        if seen is not None and (row.last_seen_at is None or seen > row.last_seen_at):
            self._tiers.database.raise_last_seen({session_id: seen})
        else:
            seen = row.last_seen_at
        if row.holds and session.status != COMPLETED:
            return session
        if session.status != EXPIRED and (
            self._tiers.clock.now() < expiry.effective_deadline(session, seen)
        ):
            return session
        if session.status in {COMPLETED, EXPIRED}:
            raise SessionExpiredError(session=session)
        sweeping.expire_due(self._tiers, only=[session_id])
        settled = self.load(session_id).session
        if settled.status == EXPIRED:
            raise SessionExpiredError(session=settled)
        return settled

"""Reads through the tiers: leases, fills, one load a key, and no session past its end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sessions_unified import expiry, metrics, touches
from sessions_unified.exceptions import (
    SessionExpiredError,
    SessionNotFoundError,
    TierUnavailableError,
)
from sessions_unified.flow import COMPLETED, EXPIRED
from sessions_unified.tiers import Loaded
from sessions_unified.tiers.base import Copy, Read
from sessions_unified.upkeep import sweeping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.budget import Budget
    from sessions_unified.tiers.database import LockedRow

Answer = TypeVar("Answer")


class TieredReader:
    """One manager's reads, within one Redis budget; rules 2, 3, 5, 6 and 8 of `manager`.

    Attributes:
        degraded: why answers were degraded so far.
        tier: what the last answer came from.

    """

    def __init__(self, tiers: Tiers, budget: Budget) -> None:
        self._tiers = tiers
        self._budget = budget
        self.degraded: set[str] = set()
        self.tier = ""

    def in_transaction(self) -> bool:
        """Whether a read may see this thread's uncommitted writes, which no cache may keep."""
        return self._tiers.database.thread.connection.in_atomic_block

    def get(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        """Return the session; see ``manager.get_session``."""
        self._budget.begin()
        return self._alive(self._copy(session_id, fresh=fresh))

    def get_many(self, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
        """Return those that exist and are alive; see ``manager.get_sessions``."""
        self._budget.begin()
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
        self._tiers.start()
        if fresh or self.in_transaction():
            self.tier = "database"
            return self.load(session_id)
        loaded = self._loaded(session_id)
        self.tier = loaded.tier
        for reason in loaded.degraded:
            self.degrade(reason)
        return loaded.copy

    def _loaded(self, session_id: str) -> Loaded:
        memory = self._tiers.memory
        first = memory.read(session_id) if memory is not None else Read(None)
        if first.copy is not None:
            return Loaded(first.copy, "memory")
        if memory is None or first.lease is None:
            return self._read_through(session_id)
        lease = first.lease

        def load() -> Loaded:
            try:
                loaded = self._read_through(session_id)
                if not memory.fill(loaded.copy, lease):
                    memory.put(loaded.copy)  # as below: never back to what was kept meanwhile
                return loaded
            finally:
                memory.release(session_id, lease)

        return self._tiers.flights.do(lease, load)

    def _read_through(self, session_id: str) -> Loaded:
        redis = self._tiers.redis
        if redis is None:
            return Loaded(self.load(session_id), "database")
        try:
            second = redis.read(session_id)
        except TierUnavailableError:
            return Loaded(self.load(session_id), "database", frozenset({"redis"}))
        if second.copy is not None:
            return Loaded(second.copy, "redis")
        lease = second.lease
        if lease is None:
            return Loaded(self.load(session_id), "database")

        def load() -> Loaded:
            copy = self.load(session_id)
            try:
                if not redis.fill(copy, lease):
                    # Another reader of this lease may have kept what it had read before a commit
                    # that we have seen; without this we would go back to it.
                    redis.put(copy)
            except TierUnavailableError:
                return Loaded(copy, "database", frozenset({"redis"}))
            return Loaded(copy, "database")

        # Without L1 the lease of L2 is the flight; with it this already is one.
        return load() if self._tiers.memory is not None else self._tiers.flights.do(lease, load)

    def degrade(self, reason: str) -> None:
        """Note that an answer was given without a tier."""
        if reason not in self.degraded:
            self.degraded.add(reason)
            metrics.DEGRADED.labels(reason).inc()

    def _redis(self, operation: Callable[[], Answer]) -> Answer | None:
        """Run a Redis operation; None if it fails."""
        try:
            return operation()
        except TierUnavailableError:
            self.degrade("redis")
            return None

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
        session, now = row.copy.session, self._tiers.clock.now()
        if session.status == EXPIRED:
            raise SessionExpiredError(session=session)
        if row.holds and session.status != COMPLETED:
            return session
        seen = self._last_seen(row, now)
        if now < expiry.effective_deadline(session, seen):
            return session
        if session.status == COMPLETED:
            raise SessionExpiredError(session=session)
        sweeping.expire_due(self._tiers, only=[session_id])
        settled = self.load(session_id).session
        if settled.status == EXPIRED:
            raise SessionExpiredError(session=settled)
        return settled

    def _last_seen(self, row: LockedRow, now: datetime) -> datetime | None:
        """Return when the shopper was last seen, and note it in the row.

        Raises:
            SessionExpiredError: nobody can tell, and a touch may turn up that kept it alive: it is
                not answered, and not settled either.

        """
        session = row.copy.session
        try:
            seen = touches.last_seen(self._tiers, session.id, row.last_seen_at)
        except TierUnavailableError:
            self.degrade("redis")
            is_past = now >= expiry.effective_deadline(session, row.last_seen_at)
            if is_past and expiry.may_be_touched(session, now):
                raise SessionExpiredError(session=session) from None
            return row.last_seen_at
        if seen is not None and seen != row.last_seen_at:
            self._tiers.database.raise_last_seen({session.id: seen})
        return seen

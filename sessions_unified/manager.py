"""The one manager of sessions: tiered reads, compare-and-set writes, and nothing lost.

The rules that everything here keeps:

1. The database is the truth: commit first, then caches. Money paths read it under a lock
   (`lock_session`) and never a cache.
2. L2 (Redis) and L1 (this process) are best effort, for reads. A miss leaves a random lease, a
   fill succeeds only while that lease stands, a put after commit replaces an older copy or ends a
   lease and never creates, a delete removes both. A stall of any length, FLUSHALL or eviction ends
   in a miss, never in an old copy.
3. No tier serves a copy older than ``STALENESS_BOUND_SECONDS``, whatever else fails; the age
   travels with the copy.
4. After commit one put and one message drop older copies elsewhere. L1 serves only while its
   channel is proven alive.
5. Redis has one time budget a request and a breaker, so has the database. Cache → database → a
   clear error; a degraded answer says so (``degraded``).
6. ``touch`` only raises ``last_seen_at``: no version, no event, flushed in batches; before a copy
   is called expired the pending touch and the row are read. Nothing else is ever deferred.
7. One `Clock` gives the database's time; SQL takes ``now`` as a parameter.
8. Past ``expires_at``: unpaid → ``expired``; paid → ``completed``/``success``; held → untouched.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import transaction

from sessions_unified import changes as changing
from sessions_unified import health, touches
from sessions_unified.asynchronous import AsyncTwins
from sessions_unified.conf import get_conf
from sessions_unified.creating import first_state
from sessions_unified.exceptions import (
    InvalidChangeError,
    InvalidTransitionError,
    SessionHeldError,
    SessionNotFoundError,
    TierUnavailableError,
    VersionConflictError,
)
from sessions_unified.flow import get_flow
from sessions_unified.locking import LockedSession
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_copy, publish_gone
from sessions_unified.reading import TieredReader
from sessions_unified.signals import session_deleted
from sessions_unified.tiers import Copy, Tiers, get_tiers
from sessions_unified.tiers.budget import Budget
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from decimal import Decimal

    from django.http import HttpRequest

    from sessions_unified.snapshot import SessionSnapshot

# Optimistic writes that lose this often are done under the row's lock instead.
_OPTIMISTIC_ATTEMPTS: Final = 4

Answer = TypeVar("Answer")


class UnifiedSessionManager(AsyncTwins):
    """Sessions for one caller; cheap to make, one a request (`sessions_unified.get_manager`).

    Attributes:
        endpoint: the endpoint it serves.
        actor: who the events name; no PII.

    """

    def __init__(
        self,
        *,
        endpoint: str = "default",
        request: HttpRequest | None = None,
        tiers: Tiers | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.actor: str = getattr(request, "session_actor", "system")
        self._request: Any = request
        budget = _budget(request)
        self._tiers = (tiers or get_tiers()).within(budget)
        self._reader = TieredReader(self._tiers, budget)
        self._budget = budget
        self._thread = self._tiers.database.thread
        memory = self._tiers.memory
        self._hit: Callable[[str], SessionSnapshot | None] = (
            memory.hit if memory is not None else lambda _: None
        )

    @property
    def degraded(self) -> set[str]:
        """Why this manager's answers were degraded so far: ``redis``, ``database``."""
        if self._tiers.database.breaker.is_open:
            self._reader.degrade("database")
        return self._reader.degraded

    # Reads

    def get_session(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        """Return the session, from the fastest tier that has it.

        Inside a transaction, and with ``fresh``, the database is read.

        Raises:
            SessionNotFoundError: there is none, or it was deleted.
            SessionExpiredError: it is past its end; ``.session`` is its last state.
            DatabaseUnavailableError: no tier could answer.

        """
        if not fresh:
            session = self._hit(session_id)
            if session is not None and not self._thread.connection.in_atomic_block:
                self._note(session_id, "memory")
                return session
        self._note(session_id, "none")  # until one has answered
        session = self._reader.get(session_id, fresh=fresh)
        self._note(session_id, self._reader.tier)
        return session

    def get_sessions(self, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
        """Return the sessions that exist and are alive, by id; one round trip a tier.

        Those that are past their end are settled one by one, which takes more.
        """
        return self._reader.get_many(session_ids)

    def validate_session(self, session_id: str) -> health.SessionHealth:
        """Report whether the session exists, is alive and well-formed, and the tiers agree."""
        self._note(session_id, "database")
        return health.examine(self._tiers, session_id)

    # Writes

    def create_session(
        self,
        *,
        email: str | None = None,
        customer: Mapping[str, Any] | None = None,
        products: Sequence[Any] = (),
        amount: Decimal | None = None,
        currency: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        session_id: str | None = None,
    ) -> SessionSnapshot:
        """Store a new session at the flow's first step and return it.

        ``session_id`` is minted unless the caller has minted one already.

        Raises:
            InvalidChangeError: a value is of the wrong kind, or the id is taken.
            DatabaseUnavailableError: nothing was stored.

        """
        now = self._tiers.clock.now()
        fields = {
            "email": email,
            "customer": None if customer is None else dict(customer),
            "products": products,
            "amount": amount,
            "currency": currency or get_conf().DEFAULT_CURRENCY,
            "metadata": dict(metadata or {}),
        }
        session = first_state(fields, session_id=session_id, now=now)
        change = Change(kind="session_created", actor=self.actor, at=now)
        self._note(session.id, "database")
        if not self._tiers.database.insert(session, change):
            message = "This session id is taken."
            raise InvalidChangeError(message, field="id")
        return session

    def update_session(
        self,
        session_id: str,
        changes: Mapping[str, Any],
        *,
        if_version: int | None = None,
        kind: str = "session_updated",
    ) -> SessionSnapshot:
        """Change only the named fields and return the session; no change, no event.

        Compare-and-set: a write that another one overtook is repeated on the newer state, unless
        ``if_version`` asks for one version.

        Raises:
            VersionConflictError: the session is not at ``if_version``.
            InvalidTransitionError: the flow does not allow the move.
            InvalidChangeError: a field is unknown or its value is of the wrong kind.
            SessionNotFoundError, SessionExpiredError: as `get_session`.
            DatabaseUnavailableError: whether it was stored is not known; read again.

        """
        fields = changing.coerce(changes)
        self._note(session_id, "database")
        for attempt in range(_OPTIMISTIC_ATTEMPTS):
            is_fresh = attempt > 0 or self._reader.in_transaction()
            try:
                session = self._reader.get(session_id, fresh=is_fresh)
                self._check_version(session, if_version)
                after = self._try_update(session, fields, kind)
            except (InvalidTransitionError, VersionConflictError):
                if is_fresh:
                    raise
                continue  # judged by a cached copy: judge again by the row
            if after is not None and (after is not session or is_fresh):
                return after
        with self.lock_session(session_id) as locked:
            self._check_version(locked.session, if_version)
            return locked.update(fields, kind=kind)

    def delete_session(self, session_id: str, *, if_version: int | None = None) -> None:
        """Delete the session everywhere, for good: a tombstone without PII stays in the database.

        Raises:
            SessionHeldError: a charge of it is open.
            SessionNotFoundError: there is none, or it was deleted already.
            VersionConflictError: the session is not at ``if_version``.

        """
        database = self._tiers.database
        self._note(session_id, "database")
        change = Change(kind="session_deleted", actor=self.actor, at=self._tiers.clock.now())
        with database.transaction():
            row = database.lock(session_id)
            if row is None:
                raise SessionNotFoundError
            self._check_version(row.copy.session, if_version)
            version = database.tombstone(session_id, change)
            if version is None:
                raise SessionHeldError
            session_deleted.send(sender=UnifiedSession, session_ids=[session_id])
            self._on_commit(lambda tiers: publish_gone(tiers, {session_id: version}))

    def expire_session(self, session_id: str) -> SessionSnapshot:
        """End the session now, by the money-aware rule: paid → completed, unpaid → expired.

        Raises:
            SessionHeldError: a charge of it is open.
            SessionNotFoundError: there is none.

        """
        with self.lock_session(session_id, allow_expired=True) as locked:
            if locked.holds:
                raise SessionHeldError
            return locked.expire()

    def extend_session(
        self, session_id: str, duration: timedelta | None = None, *, past_limit: bool = False
    ) -> SessionSnapshot:
        """Move ``expires_at`` to ``duration`` from now; None: to what the step's limit gives.

        It never gets shorter and never passes the absolute limit, unless ``past_limit`` (staff).
        A completed session keeps its receipt limit.

        Raises:
            SessionNotFoundError, SessionExpiredError: as `get_session`.

        """
        with self.lock_session(session_id) as locked:
            return locked.extend(duration, past_limit=past_limit)

    def touch_session(self, session_id: str) -> None:
        """Note that the shopper was seen now; slides the idle limit, never the absolute one.

        Where neither Redis nor the database can take it, the answer goes on, degraded: ``touch``.
        """
        self._budget.begin()
        try:
            touches.touch(self._tiers, session_id, self._tiers.clock.now())
        except TierUnavailableError:
            self._reader.degrade("touch")

    def drop_copies(self, session_id: str) -> bool:
        """Drop the session from the caches; return whether all of them took notice."""
        version = self._reader.load(session_id).session.version
        # As if a later version had come: other processes drop only what is older than that.
        return publish_gone(self._tiers, {session_id: version + 1})

    @contextmanager
    def lock_session(
        self, session_id: str, *, allow_expired: bool = False, durable: bool = False
    ) -> Iterator[LockedSession]:
        """Run one short transaction with the session's row locked: read, decide, write.

        ``durable`` refuses to be part of a larger transaction, so that leaving the block is the
        commit. Never call a network service inside.

        Raises:
            SessionNotFoundError: there is none.
            SessionExpiredError: it is past its end, unpaid and not held; not raised with
                ``allow_expired``.

        """
        self._note(session_id, "database")
        with self._tiers.database.transaction(durable=durable):
            row = self._tiers.database.lock(session_id)
            if row is None:
                raise SessionNotFoundError
            locked = LockedSession(tiers=self._tiers, actor=self.actor, row=row)
            if not allow_expired:
                locked.check_alive()
            yield locked
            if locked.is_changed:
                copy = locked.copy
                self._on_commit(lambda tiers: publish_copy(tiers, copy))

    def _try_update(
        self, session: SessionSnapshot, fields: Mapping[str, Any], kind: str
    ) -> SessionSnapshot | None:
        """Return the session after the change, itself if nothing changes, None if overtaken."""
        clock, database = self._tiers.clock, self._tiers.database
        now = clock.now()
        after, changed = changing.apply(session, fields, flow=get_flow(), now=now)
        if not changed:
            return session
        change = Change(
            kind=kind,
            actor=self.actor,
            at=now,
            changed=changed,
            data=changing.event_data(session, after),
        )
        if not database.compare_and_set(session.version, after, change, changed):
            return None
        copy = Copy(after, now)
        self._on_commit(lambda tiers: publish_copy(tiers, copy))
        return after

    def _note(self, session_id: str, tier: str) -> None:
        """Leave for the site's log which session the request was about, and what answered."""
        if self._request is not None:
            self._request.served_session = (session_id, tier)

    @staticmethod
    def _check_version(session: SessionSnapshot, if_version: int | None) -> None:
        if if_version is not None and session.version != if_version:
            raise VersionConflictError

    def _on_commit(self, publish: Callable[[Tiers], bool]) -> None:
        def run() -> None:
            self._budget.begin()
            if not publish(self._tiers):
                self._reader.degrade("redis")

        if self._thread.connection.in_atomic_block:
            transaction.on_commit(run, using=self._tiers.database.alias)
        else:
            run()


def _budget(request: Any) -> Budget:
    """Return the request's budget for Redis, which all of its managers share."""
    seconds = get_conf().REDIS_BUDGET_MS / 1000
    if request is None:
        return Budget(seconds, renews=True)
    if not hasattr(request, "_redis_budget"):
        request._redis_budget = Budget(seconds)  # noqa: SLF001  (a place of our own on it)
    budget: Budget = request._redis_budget  # noqa: SLF001
    return budget

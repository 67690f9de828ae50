"""Two processes on real tiers answer, call for call, what a plain dict of sessions would.

Calls come one after another and every message arrives before the next, so nothing may differ: not
a value, not an error. Caches are lost, emptied and evicted between them.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)

from sessions_unified.exceptions import (
    InvalidChangeError,
    InvalidTransitionError,
    SessionExpiredError,
    SessionNotFoundError,
    SessionsUnifiedError,
    VersionConflictError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.testing import FrozenClock
from tests.managing import cleaner, events
from tests.processes import Messages, Process

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot
    from tests.managing import MakeTiers

BORN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
IDLE: Final = timedelta(minutes=30)
RETENTION: Final = 90 * DAY
LEGAL: Final = {
    ("pending", "checkout"): ("processing", "processing"),
    ("processing", "processing"): ("processing", "upsell-1"),
    ("processing", "upsell-1"): ("processing", "upsell-2"),
    ("processing", "upsell-2"): ("completed", "success"),
}
DECLINED: Final = (("processing", "processing"), ("pending", "checkout"))
ENDED: Final = {"completed", "expired"}
SECONDS: Final = (1, 59, 61, 29 * 60, 31 * 60, 23 * 3600, 91 * 24 * 3600)


class Model:
    """The manager as a dict: id → session, and when its shopper was seen."""

    def __init__(self, clock: FrozenClock) -> None:
        self._clock = clock
        self.rows: dict[str, SessionSnapshot] = {}
        self.versions: dict[str, int] = {}
        self.seen: dict[str, datetime] = {}
        self.pending: dict[str, datetime] = {}

    def store(self, session: SessionSnapshot) -> SessionSnapshot:
        self.rows[session.id] = session
        self.versions[session.id] = session.version
        return session

    def row(self, session_id: str) -> SessionSnapshot:
        if session_id not in self.rows:
            raise SessionNotFoundError
        return self.rows[session_id]

    def get(self, session_id: str) -> SessionSnapshot:
        session = self.row(session_id)
        if session.status != "expired" and self._clock.now() < session.expires_at:
            return session
        if session_id in self.pending:
            self.see(session_id, self.pending[session_id])
        if session.status in ENDED:
            raise SessionExpiredError(session=session)
        if self._clock.now() < self._end(session):
            return session
        settled = self.settle(session)
        if settled.status == "expired":
            raise SessionExpiredError(session=settled)
        return settled

    def get_many(self, ids: list[str]) -> dict[str, SessionSnapshot]:
        found = {}
        for session_id in dict.fromkeys(ids):
            with suppress(SessionNotFoundError, SessionExpiredError):
                found[session_id] = self.get(session_id)
        return found

    def update(
        self, session_id: str, changes: dict[str, Any], if_version: int | None = None
    ) -> SessionSnapshot:
        session = self.get(session_id)
        self._check_version(session, if_version)
        return self._change(session, changes)

    def lock(self, session_id: str) -> SessionSnapshot:
        """What ``lock_session`` yields."""
        session = self.row(session_id)
        if session.status == "expired":
            raise SessionExpiredError(session=session)
        if self._clock.now() < self._end(session):
            return session
        if session.status == "completed" or not session.is_paid:
            raise SessionExpiredError(session=session)
        return self.settle(session)

    def update_locked(
        self, session_id: str, changes: dict[str, Any], *, keeps: bool
    ) -> SessionSnapshot | None:
        before = self.row(session_id)
        try:
            after = self._change(self.lock(session_id), changes)
        except InvalidTransitionError:
            self.store(before)
            raise
        return after if keeps else self.store(before) and None

    def extend(self, session_id: str, duration: timedelta | None) -> SessionSnapshot:
        session = self.lock(session_id)
        limit = session.created_at + DAY
        wanted = (
            self._deadline(session.current_step, session)
            if duration is None
            else min(self._clock.now() + duration, limit)
        )
        if session.status == "completed" or wanted <= session.expires_at:
            return session
        return self._next(session, expires_at=wanted)

    def expire(self, session_id: str) -> SessionSnapshot:
        session = self.row(session_id)
        if session.status in ENDED:
            return session
        ended = self.settle(session)
        if ended.status == "completed":
            return ended
        # Nobody may find it alive by its old end.
        return self.store(
            msgspec.structs.replace(ended, expires_at=min(ended.expires_at, self._clock.now()))
        )

    def delete(self, session_id: str, if_version: int | None = None) -> None:
        session = self.row(session_id)
        self._check_version(session, if_version)
        self._bury(session)

    def see(self, session_id: str, at: datetime) -> None:
        self.seen[session_id] = max(at, self.seen.get(session_id, at))

    def sweep(self) -> None:
        """Flush the touches, then settle what is past its end."""
        for session_id, at in self.pending.items():
            self.see(session_id, at)
        self.pending.clear()
        for session in list(self.rows.values()):
            if session.status not in ENDED and self._clock.now() >= self._end(session):
                self.settle(session)

    def purge(self) -> None:
        now = self._clock.now()
        for session in list(self.rows.values()):
            is_old = session.updated_at <= now - RETENTION and session.expires_at <= now
            if session.status in ENDED and is_old:
                self._bury(session)

    def settle(self, session: SessionSnapshot) -> SessionSnapshot:
        if not session.is_paid:
            return self._next(session, status="expired", payment_token=None)
        return self._next(
            session,
            status="completed",
            current_step="success",
            payment_token=None,
            expires_at=self._clock.now() + DAY,
        )

    def _bury(self, session: SessionSnapshot) -> None:
        del self.rows[session.id]
        self.versions[session.id] += 1

    def _change(self, session: SessionSnapshot, changes: dict[str, Any]) -> SessionSnapshot:
        if all(getattr(session, name) == value for name, value in changes.items()):
            return session
        before = (session.status, session.current_step)
        after = (
            changes.get("status", session.status),
            changes.get("current_step", session.current_step),
        )
        if after not in {before, LEGAL.get(before)} and (before, after) != DECLINED:
            raise InvalidTransitionError
        wanted = self._deadline(after[1], session)
        if after[0] == "completed":
            is_new = session.status != "completed"
            wanted = self._clock.now() + DAY if is_new else session.expires_at
        elif after[1] == before[1]:
            wanted = max(wanted, session.expires_at)
        return self._next(session, **changes, expires_at=wanted)

    def _next(self, session: SessionSnapshot, **changes: Any) -> SessionSnapshot:
        now, version = self._clock.now(), session.version + 1
        return self.store(
            msgspec.structs.replace(session, **changes, version=version, updated_at=now)
        )

    def _deadline(self, step: str, session: SessionSnapshot) -> datetime:
        limit = session.created_at + DAY
        return min(limit, self._clock.now() + IDLE) if step.startswith("upsell") else limit

    def _end(self, session: SessionSnapshot) -> datetime:
        """When it ends, touches counted."""
        touched = [each[session.id] for each in (self.seen, self.pending) if session.id in each]
        if not touched or not session.current_step.startswith("upsell"):
            return session.expires_at
        return max(session.expires_at, min(session.created_at + DAY, max(touched) + IDLE))

    @staticmethod
    def _check_version(session: SessionSnapshot, if_version: int | None) -> None:
        if if_version is not None and session.version != if_version:
            raise VersionConflictError


def attempt(call: Callable[[], Any]) -> Any:
    """Return what ``call`` answers, or its error as a value."""
    try:
        return call()
    except SessionsUnifiedError as exc:
        return type(exc), getattr(exc, "session", None)


class RolledBackError(Exception):
    """Somebody thinks better of it."""


class Comparison(RuleBasedStateMachine):
    """Does to two processes and to the model the same."""

    processes: list[Process]
    messages: Messages
    clock: FrozenClock

    of_process = st.integers(0, 1)
    of_session = st.integers(0, 2)
    emails = st.sampled_from(["ana@example.org", "bo@example.org", None])
    positions = st.sampled_from([*LEGAL, ("completed", "success"), ("expired", "checkout")])
    offsets = st.sampled_from([None, None, 0, 0, -1, 1])

    def __init__(self) -> None:
        super().__init__()
        self.messages.client.flushdb()
        self.clock._now = BORN
        for process in self.processes:
            process.gap(is_cut=False)
        self.messages.collect()
        self.model = Model(self.clock)
        self.ids: list[str] = []
        self.create(0, None)

    def manager(self, process: int) -> UnifiedSessionManager:
        return UnifiedSessionManager(tiers=self.processes[process].tiers)

    def id(self, session: int) -> str:
        return self.ids[session % len(self.ids)]

    def check(self, real: Callable[[], Any], expected: Callable[[], Any]) -> None:
        """Do both and compare; then every message arrives."""
        answer = attempt(real)
        assert answer == attempt(expected)
        for data in self.messages.collect():
            for process in self.processes:
                process.hear(data)

    # Writes

    @rule(process=of_process, email=emails)
    def create(self, process: int, email: str | None) -> None:
        session = self.manager(process).create_session(email=email, metadata={"n": 0})
        assert (session.status, session.current_step) == ("pending", "checkout")
        assert (session.version, session.email) == (1, email)
        assert session.expires_at == self.clock.now() + DAY
        self.model.store(session)
        self.ids = [*self.ids, session.id][-3:]

    @rule(process=of_process, session=of_session)
    def create_again(self, process: int, session: int) -> None:
        call = partial(self.manager(process).create_session, session_id=self.id(session))
        assert attempt(call) == (InvalidChangeError, None)

    @rule(process=of_process, session=of_session, email=emails, offset=offsets)
    def update(self, process: int, session: int, email: str | None, offset: int | None) -> None:
        session_id, changes = self.id(session), {"email": email}
        version = self._version(session_id, offset)
        self.check(
            lambda: self.manager(process).update_session(session_id, changes, if_version=version),
            lambda: self.model.update(session_id, changes, version),
        )

    @rule(process=of_process, session=of_session, position=positions)
    def move(self, process: int, session: int, position: tuple[str, str]) -> None:
        session_id = self.id(session)
        changes = {"status": position[0], "current_step": position[1]}
        self.check(
            lambda: self.manager(process).update_session(session_id, changes),
            lambda: self.model.update(session_id, changes),
        )

    @rule(process=of_process, session=of_session)
    def go_on(self, process: int, session: int) -> None:
        """Make the legal move; past the charge it is paid."""
        session_id = self.id(session)
        row = self.model.rows.get(session_id)
        if row is None or (row.status, row.current_step) not in LEGAL:
            return
        status, step = LEGAL[row.status, row.current_step]
        changes = {"status": status, "current_step": step}
        if step == "upsell-1":
            changes |= {"transaction_id": "t1", "payment_token": "tok"}
        self.check(
            lambda: self.manager(process).update_session(session_id, changes),
            lambda: self.model.update(session_id, changes),
        )

    @rule(
        process=of_process,
        session=of_session,
        email=emails,
        position=st.none() | positions,
        keeps=st.booleans(),
    )
    def update_locked(
        self,
        process: int,
        session: int,
        email: str | None,
        position: tuple[str, str] | None,
        keeps: bool,
    ) -> None:
        session_id, manager = self.id(session), self.manager(process)
        changes: dict[str, Any] = {"email": email}
        if position is not None:
            changes |= {"status": position[0], "current_step": position[1]}

        def real() -> SessionSnapshot | None:
            with suppress(RolledBackError), manager.lock_session(session_id) as locked:
                after = locked.update(changes, kind="changed")
                assert manager.get_session(session_id) == after  # its own write, not a cache's
                if keeps:
                    return after
                raise RolledBackError
            return None

        self.check(real, lambda: self.model.update_locked(session_id, changes, keeps=keeps))

    @rule(process=of_process, session=of_session, minutes=st.none() | st.integers(1, 3000))
    def extend(self, process: int, session: int, minutes: int | None) -> None:
        duration = None if minutes is None else timedelta(minutes=minutes)
        session_id = self.id(session)
        self.check(
            lambda: self.manager(process).extend_session(session_id, duration),
            lambda: self.model.extend(session_id, duration),
        )

    @rule(process=of_process, session=of_session, offset=offsets, is_expired=st.booleans())
    def end(self, process: int, session: int, offset: int | None, is_expired: bool) -> None:
        """Expire it, or delete it."""
        session_id, manager = self.id(session), self.manager(process)
        version = self._version(session_id, offset)
        if is_expired:
            self.check(
                lambda: manager.expire_session(session_id), lambda: self.model.expire(session_id)
            )
        else:
            self.check(
                lambda: manager.delete_session(session_id, if_version=version),
                lambda: self.model.delete(session_id, version),
            )

    @rule(process=of_process, session=of_session)
    def touch(self, process: int, session: int) -> None:
        self.manager(process).touch_session(self.id(session))
        self.model.pending[self.id(session)] = self.clock.now()

    def _version(self, session_id: str, offset: int | None) -> int | None:
        return None if offset is None else self.model.versions[session_id] + offset

    # Reads

    @rule(process=of_process, session=of_session, fresh=st.booleans())
    def get(self, process: int, session: int, fresh: bool) -> None:
        session_id = self.id(session)
        self.check(
            lambda: self.manager(process).get_session(session_id, fresh=fresh),
            lambda: self.model.get(session_id),
        )

    @rule(sessions=st.lists(of_session, min_size=1, max_size=3, unique=True))
    def get_everywhere(self, sessions: list[int]) -> None:
        for session_id in map(self.id, sessions):
            for process in range(len(self.processes)):
                self.check(
                    partial(self.manager(process).get_session, session_id),
                    partial(self.model.get, session_id),
                )

    @rule(process=of_process, sessions=st.lists(of_session, max_size=4))
    def get_many(self, process: int, sessions: list[int]) -> None:
        ids = [self.id(session) for session in sessions]
        self.check(
            lambda: self.manager(process).get_sessions(ids), lambda: self.model.get_many(ids)
        )

    # Time and losses

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(process=of_process, purges=st.booleans())
    def clean(self, process: int, purges: bool) -> None:
        tiers = self.processes[process].tiers
        if purges:
            cleaner(tiers).purge()
            self.model.purge()
        else:
            cleaner(tiers).settle()
            self.model.sweep()

    @rule(
        process=of_process,
        session=of_session,
        what=st.sampled_from(["Redis", "a key", "L1", "copies"]),
    )
    def lose(self, process: int, session: int, what: str) -> None:
        session_id, tiers = self.id(session), self.processes[process].tiers
        assert tiers.redis is not None
        if what == "Redis":
            self.messages.client.flushdb()
            self.model.pending.clear()
        elif what == "a key":
            self.messages.client.delete(tiers.redis.key(session_id))
        elif what == "L1":
            self.processes[process].gap(is_cut=False)
        else:
            self.check(
                lambda: self.manager(process).drop_copies(session_id),
                lambda: bool(self.model.row(session_id)),
            )

    def teardown(self) -> None:
        for session_id, version in self.model.versions.items():
            assert [seq for seq, _ in events(session_id)] == list(range(1, version + 1))
        super().teardown()


def test_two_processes_answer_as_a_dict_does(
    make_tiers: MakeTiers, redis_client: redis.Redis, settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"TOUCH_RESOLUTION_SECONDS": 0}
    clock = FrozenClock()
    processes = [Process(name=name, tiers=make_tiers(clock=clock)) for name in "AB"]
    for process in processes:
        process.takes_no_part_in_pubsub()
    with Messages(processes[0].tiers, redis_client) as messages:
        machine = type(
            "Compared",
            (Comparison,),
            {"processes": processes, "messages": messages, "clock": clock},
        )

        run_state_machine_as_test(
            machine, settings=hypothesis_settings(stateful_step_count=40, print_blob=True)
        )

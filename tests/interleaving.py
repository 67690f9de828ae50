"""A small world of processes and shoppers on real tiers, whose every step is scheduled by a seed.

Two processes with an L1 each share Redis and PostgreSQL; each runs three actors that read, write
and delete a few sessions through the real manager. The pub/sub channel is read by the world, which
hands its messages on when the seed says so: late, twice, out of order or not at all.

What must hold, and what `World` checks at every answer and at every pause:

a. What a tier answers was committed, was still true at the copy's ``true_at`` or became so later,
   and was overtaken less than the bound ago.
b. A process never answers less than it knows: than what it has answered itself to a tiered read
   (`get_session`), than its own finished writes and deletes, than the messages that reached it.
   So a session whose delete it has done or heard of is never answered. That is for calls that
   began afterwards, whatever tier answers them; for an answer of ``fresh=True`` or `get_sessions`
   it is not promised, since these keep nothing. While a message or a put was lost, only a. holds.
c. "Not found" and "another version" are true at some moment of the call.
d. When everything under way has finished and every message has arrived, every copy in every tier
   is the row, with nothing waited for.
e. Counters that writers raise add up to the successes, and events are numbered 1..version.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from sessions_unified.exceptions import (
    InvalidChangeError,
    SessionNotFoundError,
    TierUnavailableError,
    VersionConflictError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.snapshot import SessionSnapshot
from sessions_unified.tiers import singleflight
from sessions_unified.tiers.base import Copy, Read
from sessions_unified.tiers.rows import COLUMNS, EVENTS, SESSIONS, from_row
from tests.processes import Messages, Process, set_live
from tests.stepping import Actor, Scheduler, wrap_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from datetime import datetime

    import pytest
    import redis

    from sessions_unified.testing import FrozenClock
    from sessions_unified.tiers import Tiers

BOUND_SECONDS: Final = 3600
# Multiples of a minute: no copy's real time to live in Redis ends during a run.
_ADVANCES: Final = (60, 300, 900, 1800)
SETTINGS: Final = {
    "STALENESS_BOUND_SECONDS": BOUND_SECONDS,
    "LEASE_SECONDS": 3600,
    "ABSOLUTE_LIMIT_SECONDS": 10**9,
    # An actor may stand still for long, in real time too.
    "REDIS_BUDGET_MS": 10**9,
    "DATABASE_BUDGET_SECONDS": 10**6,
    "L1_MAX_ENTRIES": 3,
}
HELD_BACK: Final = ("L1 fill", "L1 put", "L1 del", "L2 fill", "L2 put", "L2 del")
_READS: Final = frozenset({"peek", "peek_many", "read", "row"})
_TELLS: Final = frozenset({"put", "delete", "delete_many"})
_EVENTS: Final = ("deliver", "cut", "silence", "clear", "evict", "flush", "advance", "fault")
# What an era draws one of.
_MOODS: Final = {
    "deliver": (1, 4, 15),  # how heavy deliveries weigh among the events
    "drop": (0, 0, 0, 0.1, 0.5),  # messages lost
    "events": (0.05, 0.1, 0.3),  # steps that are events
    "hold": (0, 0.1, 0.3),  # stops that hold an actor back
    "hold back": (0, 0.3, 0.8),  # the same before a fill, a put or a delete
    "delay": (20, 60),  # steps for which one is held back at most
    "haste": (0, 0.5, 0.9),  # who has moved goes on, while the others stand
    "bypass": (0, 0, 0, 0.5, 1),  # processes that go without L1
    "writes": (0.1, 0.5, 1, 1),  # writers' deeds that are writes
    "deletes": (0.03, 0.1, 0.3),  # of these, deletes
    "old": (0.05, 0.05, 0.3),  # deeds about a session that has left the scene
    "pause": (40, 200),  # steps of the era
}


class ViolationError(AssertionError):
    """Something happened that the manager promises will not."""


class ThoughtBetterError(Exception):
    """A writer rolls back."""


class World:
    """Everything that one run needs; drive it by `run`."""

    def __init__(
        self,
        seed: int,
        *,
        tiers: list[Tiers],
        clock: FrozenClock,
        client: redis.Redis,
        monkeypatch: pytest.MonkeyPatch,
        conditions: Mapping[str, float] | None = None,
        late: tuple[str, ...] = HELD_BACK,
    ) -> None:
        """``conditions``: weights that no era changes; ``late``: the operations to hold back."""
        self.seed = seed
        self.scheduler = Scheduler(seed)
        self.random = self.scheduler.random
        self.clock = clock
        self.client = client
        self.history: dict[str, dict[int, tuple[SessionSnapshot | None, datetime]]] = {}
        self.counted: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.slots: list[str] = []
        self.old: list[str] = []
        self.weights: dict[str, float] = {}
        self._conditions = dict(conditions or {})
        self._late = late
        self._doubts: dict[tuple[str, str], datetime] = {}
        self._locks: dict[str, Actor] = {}
        self._to_observe: list[str] = []
        self._violation: str | None = None
        self._last: Actor | None = None
        self._monkeypatch = monkeypatch
        self.processes = [
            Process(name=name, tiers=each) for name, each in zip("AB", tiers, strict=True)
        ]
        self._messages = Messages(tiers[0], client)
        for process in self.processes:
            self._instrument(process)
            process.gap(is_cut=False)

    # One run

    def run(self, steps: int) -> None:
        """Take ``steps`` steps, with pauses at which everything must agree."""
        self._monkeypatch.setattr(singleflight, "Future", self._future())
        try:
            for process in self.processes:
                process.takes_no_part_in_pubsub()
                for role in ("reader", "writer", "editor"):
                    self._add_actor(process, role)
            while self.scheduler.steps < steps:
                self._new_era()
                pause_at = self.scheduler.steps + self.weights["pause"]
                while self.scheduler.steps < pause_at:
                    self._step()
                self._pause()
        except Exception as exc:
            raise ViolationError(self._story(exc)) from exc
        finally:
            self.scheduler.finish()
            self._messages.__exit__()

    def _story(self, exc: Exception) -> str:
        lines = "\n".join(self.scheduler.trace)
        return f"seed {self.seed}, step {self.scheduler.steps}: {exc!r}\n{lines}"

    def _new_era(self) -> None:
        """Draw what happens how often until the next pause: some things not at all."""
        chance = self.random
        self.weights = {name: chance.choice((0, 0, 0.3, 1, 3)) for name in _EVENTS}
        self.weights |= {name: chance.choice(among) for name, among in _MOODS.items()}
        self.weights |= self._conditions
        for process in self.processes:
            process.gap(is_cut=chance.random() < self.weights["bypass"])
        if not self.slots or chance.random() < 0.4:
            self.old = [*self.old, *self.slots][-3:]
            self.slots = [self._create() for _ in range(chance.choice((1, 1, 2)))]

    def _create(self) -> str:
        session = UnifiedSessionManager(tiers=self.processes[0].tiers).create_session(
            metadata={"n": 0}
        )
        self._created(session.id)
        return session.id

    def _created(self, session_id: str) -> None:
        self.names[session_id] = f"s{len(self.names) + 1}"
        self.counted[session_id] = 0
        self._observe(session_id)

    def _step(self) -> None:
        if self.random.random() < self.weights["events"]:
            names = list(_EVENTS)
            (name,) = self.random.choices(names, [self.weights[name] for name in names])
            getattr(self, f"_{name}")()
            self.scheduler.steps += 1
        else:
            able = self.scheduler.runnable(draining=False)
            if self._last not in able or self.random.random() > self.weights["haste"]:
                self._last = self.random.choice(able)
            self._move(self._last)
        self._check_violation()

    def _move(self, actor: Actor) -> None:
        self.scheduler.run(actor)
        for session_id in self._to_observe:
            self._observe(session_id)
        self._to_observe.clear()
        is_late = actor.doing.startswith(self._late)
        if self.random.random() < self.weights["hold back" if is_late else "hold"]:
            actor.held_until = self.scheduler.steps + self.random.randint(2, self.weights["delay"])
        self._collect_messages()

    def _pause(self) -> None:
        """Let everything finish and arrive; then every copy is the row."""
        while busy := self.scheduler.runnable(draining=True):
            self._move(self.random.choice(busy))
            self._check_violation()
        for process in self.processes:
            if process.is_silent:
                process.gap(is_cut=False)
            while process.inbox:
                self._deliver_one(process, 0)
        for process in self.processes:
            for session_id in list(self.names)[-8:]:
                self._check_copies_agree(process, session_id)
        self._check_log()
        self.scheduler.note("", "-- all agree --")

    def _in_play(self) -> list[str]:
        return [*self.slots, *self.old]

    # What happens by itself

    def _deliver(self) -> None:
        process = self.random.choice(self.processes)
        if not process.inbox or process.is_silent:
            return
        position = 0 if self.random.random() < 0.7 else self.random.randrange(len(process.inbox))
        if self.random.random() < self.weights["drop"]:
            data = process.inbox.pop(position)
            session_id, _ = self._parse(data)
            self._doubt(session_id, process)
            self.scheduler.note(process.name, f"never hears {self._name(data)}")
        elif self.random.random() < 0.1:
            self._deliver_one(process, position, keeps=True)
        else:
            self._deliver_one(process, position)

    def _deliver_one(self, process: Process, position: int, *, keeps: bool = False) -> None:
        data = process.inbox[position] if keeps else process.inbox.pop(position)
        self.scheduler.note(process.name, f"hears {self._name(data)}")
        process.hear(data)
        session_id, version = self._parse(data)
        process.knows(session_id, version)

    def _cut(self) -> None:
        cut_off = [each for each in self.processes if each.is_cut or each.is_silent]
        process = self.random.choice(cut_off or self.processes)
        self.scheduler.note(process.name, "is connected again" if cut_off else "is cut off")
        process.gap(is_cut=not cut_off)

    def _silence(self) -> None:
        """Let the time run out for which L1 was proven alive; the gap is noticed later."""
        process = self.random.choice(self.processes)
        if process.is_cut or process.is_silent:
            return
        self.scheduler.note(process.name, "hears no ping")
        process.is_silent = True
        set_live(process.tiers, is_live=False)

    def _clear(self) -> None:
        process = self.random.choice(self.processes)
        self.scheduler.note(process.name, "L1 is emptied")
        assert process.tiers.memory is not None
        process.tiers.memory.clear()

    def _evict(self) -> None:
        session_id = self.random.choice(self._in_play())
        self.scheduler.note("", f"L2 evicts {self.names[session_id]}")
        redis_tier = self.processes[0].tiers.redis
        assert redis_tier is not None
        self.client.delete(redis_tier.key(session_id))

    def _flush(self) -> None:
        self.scheduler.note("", "FLUSHALL")
        self.client.flushall()
        self.client.script_flush()

    def _advance(self) -> None:
        seconds = self.random.choice(_ADVANCES)
        self.clock.advance(seconds=seconds)
        self.scheduler.note("", f"{seconds} s pass")

    def _fault(self) -> None:
        actor = self.random.choice(self.scheduler.actors)
        actor.fault = self.random.choice(("unreached", "unanswered"))

    # What shoppers do

    def _add_actor(self, process: Process, role: str) -> None:
        deeds = {
            "reader": (self._read, self._read, self._read, self._read_fresh, self._read_many),
            "writer": (self._count_optimistically, self._count_locked),
            "editor": (self._write, self._count_locked),
        }[role]

        def work(actor: Actor) -> None:
            deed = self.random.choice(deeds)
            if role != "reader":
                if self.random.random() < self.weights["deletes"]:
                    deed = self.random.choice((self._delete, self._revive))
                if self.random.random() > self.weights["writes"]:
                    deed = self._read
            deed(process, self._pick())

        self.scheduler.add(f"{process.name}/{role}", work)

    def _pick(self) -> str:
        if self.random.random() < self.weights["old"] and self.old:
            return self.random.choice(self.old)
        return self.random.choice(self.slots)

    def _manager(self, process: Process) -> UnifiedSessionManager:
        return UnifiedSessionManager(tiers=process.tiers)

    def _read(self, process: Process, session_id: str) -> SessionSnapshot | None:
        manager = self._manager(process)
        with self._call(process, session_id) as call:
            call.answered(manager.get_session(session_id))
            if not manager.degraded:
                call.keeps()
        return call.session

    def _read_fresh(self, process: Process, session_id: str) -> SessionSnapshot | None:
        with self._call(process, session_id) as call:
            call.answered(self._manager(process).get_session(session_id, fresh=True))
        return call.session

    def _read_many(self, process: Process, session_id: str) -> None:
        ids = list(dict.fromkeys([session_id, *self._in_play()]))
        calls = [Call(self, process, each) for each in ids]
        found = self._manager(process).get_sessions(ids)
        for call in calls:
            if call.session_id in found:
                call.answered(found[call.session_id])
            else:
                call.denied()

    def _count_optimistically(self, process: Process, session_id: str) -> None:
        """Count on what was read: here, or (as a form's ``If-Match``) by whom the row told."""
        before = (
            self._read(process, session_id)
            if self.random.random() < 0.7
            else self._read_fresh(process, session_id)
        )
        if before is None:
            return
        changes = {"metadata": {"n": before.metadata["n"] + 1}}
        with self._call(process, session_id) as call:
            call.if_version = before.version
            call.answered(
                self._manager(process).update_session(
                    session_id, changes, if_version=before.version
                )
            )
            self.counted[session_id] += 1
            call.keeps()

    def _count_locked(self, process: Process, session_id: str) -> None:
        """Count under the row's lock, and sometimes think better of it."""
        manager = self._manager(process)
        with self._call(process, session_id) as call, suppress(ThoughtBetterError):
            with manager.lock_session(session_id) as locked:
                number = locked.session.metadata.get("n", 0) + 1
                after = locked.update({"metadata": {"n": number}}, kind="counted")
                if manager.get_session(session_id) != after:
                    self.violated(f"{process.name} did not see its own uncommitted write")
                if self.random.random() < 0.2:
                    raise ThoughtBetterError
            call.answered(after)
            self.counted[session_id] += 1
            call.keeps()

    def _write(self, process: Process, session_id: str) -> None:
        # Nine digits: more of them could be a card's number, which is refused.
        email = f"{self.random.random():.9f}@example.org"
        with self._call(process, session_id) as call:
            call.answered(self._manager(process).update_session(session_id, {"email": email}))
            call.keeps()

    def _delete(self, process: Process, session_id: str) -> None:
        with self._call(process, session_id):
            self._manager(process).delete_session(session_id)
            process.knows(session_id, max(self.history[session_id]))
            if session_id in self.slots:
                self.old = [*self.old, session_id][-3:]
                session = self._manager(process).create_session(metadata={"n": 0})
                self._created(session.id)
                self.slots = [x if x != session_id else session.id for x in self.slots]

    def _revive(self, process: Process, session_id: str) -> None:
        try:
            self._manager(process).create_session(session_id=session_id)
        except InvalidChangeError:
            return
        self.violated(f"{self.names[session_id]} was created again")

    # What is checked

    @contextmanager
    def _call(self, process: Process, session_id: str) -> Iterator[Call]:
        call = Call(self, process, session_id)
        try:
            yield call
        except SessionNotFoundError:
            call.denied()
        except VersionConflictError:
            call.refused()

    def violated(self, what: str) -> None:
        """Stop the run after this step."""
        self._violation = self._violation or what
        self.scheduler.note("!", what)

    def _check_violation(self) -> None:
        if self._violation is not None:
            raise ViolationError(self._violation)

    def check_true(self, session: SessionSnapshot, *, at: datetime, by: str) -> datetime | None:
        """Check that it was committed and not overtaken longer ago; return when it was."""
        versions = self.history[session.id]
        committed, _ = versions.get(session.version, (None, None))
        name = f"{self.names[session.id]} v{session.version}"
        if committed != session:
            self.violated(f"{by} answered {name}, which was never committed so")
        _, overtaken_at = versions.get(session.version + 1, (None, None))
        if overtaken_at is not None and at - overtaken_at >= timedelta(seconds=BOUND_SECONDS):
            self.violated(f"{by} answered {name}, overtaken {at - overtaken_at} ago")
        return overtaken_at

    def _check_copy(self, copy: Copy, *, by: str, is_cache: bool) -> None:
        overtaken_at = self.check_true(copy.session, at=self.clock.now(), by=by)
        if overtaken_at is not None and copy.true_at > overtaken_at:
            self.violated(
                f"{by} gives v{copy.session.version} a time when it was not true any more"
            )
        age = self.clock.now() - copy.true_at
        if is_cache and age >= timedelta(seconds=BOUND_SECONDS):
            self.violated(f"{by} answered a copy {age} old")

    def _check_copies_agree(self, process: Process, session_id: str) -> None:
        if self.in_doubt(process, session_id):
            return
        latest = max(self.history[session_id])
        row, _ = self.history[session_id][latest]
        tiers = process.tiers
        for tier in (tiers.memory, tiers.redis):
            assert tier is not None
            copy = tier.peek(session_id)
            if copy is not None and copy.session != row:
                name = f"{self.names[session_id]} v{copy.session.version}"
                self.violated(f"{process.name} {tier.name} still has {name}, the row is v{latest}")
        self._check_violation()

    def _check_log(self) -> None:
        ids = list(self.history)[-12:]
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT session_id, count(*), min(seq), max(seq) FROM {EVENTS} "
                "WHERE session_id = ANY(%s) GROUP BY 1",
                [ids],
            )
            found = {row[0]: row[1:] for row in cursor.fetchall()}
        for session_id in ids:
            latest = max(self.history[session_id])
            if found[session_id] != (latest, 1, latest):
                self.violated(f"{self.names[session_id]} v{latest} has events {found[session_id]}")
            sessions = [session for session, _ in self.history[session_id].values() if session]
            if sessions[-1].metadata["n"] != self.counted[session_id]:
                self.violated(
                    f"{self.names[session_id]} counts {sessions[-1].metadata['n']} "
                    f"after {self.counted[session_id]} successes"
                )
        self._check_violation()

    def _observe(self, session_id: str) -> None:
        """Remember the row as it is committed now."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {COLUMNS}, deleted_at FROM {SESSIONS} WHERE id = %s", [session_id]
            )
            found = cursor.fetchone()
        if found is None:
            return
        *columns, deleted_at = found
        session = from_row(columns)
        versions = self.history.setdefault(session_id, {})
        if session.version not in versions:
            truth = None if deleted_at else session
            versions[session.version] = (truth, self.clock.now())

    def is_gone(self, session_id: str) -> bool:
        """Whether it has been deleted."""
        versions = self.history[session_id]
        return versions[max(versions)][0] is None

    def _doubt(self, session_id: str, *processes: Process) -> None:
        """Take it that these have missed something: until the bound on age they may be late."""
        until = self.clock.now() + timedelta(seconds=BOUND_SECONDS)
        for process in processes:
            self._doubts[process.name, session_id] = until

    def in_doubt(self, process: Process, session_id: str) -> bool:
        """Whether the process may be late with this session by a loss that was put upon it."""
        until = self._doubts.get((process.name, session_id))
        return until is not None and self.clock.now() < until

    # The steps

    def _instrument(self, process: Process) -> None:
        tiers = process.tiers
        assert tiers.channel is not None
        assert tiers.memory is not None
        assert tiers.redis is not None

        def on(tier: str) -> Callable[..., Any]:
            def around(name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
                return self._operate(process, tier, name, method, args, kwargs)

            return around

        wrap_methods(
            tiers.memory,
            on("L1"),
            but=frozenset({"release", "clear", "invalidate", "start_afresh", "drain_metrics"}),
        )
        wrap_methods(
            tiers.redis,
            on("L2"),
            but=frozenset({"connection", "key", "call", "run_script", "within", "start_afresh"}),
        )
        attempt = tiers.redis._attempt
        tiers.redis._attempt = lambda *args: self._call_redis(attempt, *args)
        wrap_methods(tiers.database, on("L3"), but=frozenset({"transaction", "start_afresh"}))
        # For who reads the row, and the time only after a while.
        tiers.database.dawdle = lambda: self.scheduler.stop("the answer is on its way")
        begin = tiers.database.transaction
        tiers.database.transaction = (  # type: ignore[method-assign]
            lambda *args, **kwargs: self._transaction(begin, *args, **kwargs)
        )

    def _operate(
        self,
        process: Process,
        tier: str,
        name: str,
        method: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Take one step: stand still, operate, look at the answer."""
        actor = self.scheduler.current
        if actor is None or actor.depth:
            answer = method(*args, **kwargs)
            if actor is not None and name == "hit" and answer is None:
                # L1's read looks without its lock, and takes it only then.
                self.scheduler.stop(f"{actor.doing}, second look")
            return answer
        ids = [each for arg in args for each in _subjects(arg) if each in self.names]
        locks = tier == "L3" and name not in _READS
        doing = f"{tier} {name}({', '.join(self._name(arg) for arg in args)})"
        self.scheduler.stop(doing, waits=lambda: locks and self._is_locked(ids, actor))
        actor.depth, actor.calls, actor.telling = 1, 0, ids if name in _TELLS else []
        try:
            answer = method(*args, **kwargs)
        except Exception as exc:
            self.scheduler.note(actor.name, f"{doing} → {type(exc).__name__}")
            raise
        finally:
            actor.depth = 0
        if locks:
            self._wrote(ids, actor)
        self.scheduler.note(actor.name, f"{doing} → {self._name(answer)}")
        if not transaction.get_connection().in_atomic_block:
            self._check_answer(process, tier, answer)
        return answer

    def _check_answer(self, process: Process, tier: str, answer: Any) -> None:
        by = f"{process.name} {tier}"
        copies = _copies(answer)
        for copy in copies:
            self._check_copy(copy, by=by, is_cache=tier != "L3")
        if isinstance(answer, SessionSnapshot):
            self.check_true(answer, at=self.clock.now(), by=by)
            copies = [answer]
        if copies and tier == "L1" and (process.is_cut or process.is_silent):
            self.violated(f"{by} answered while nothing tells it of changes")

    def _is_locked(self, ids: list[str], actor: Actor) -> bool:
        return any(self._locks.get(session_id, actor) is not actor for session_id in ids)

    def _wrote(self, ids: list[str], actor: Actor) -> None:
        if connection.connection is None or not transaction.get_connection().in_atomic_block:
            self._to_observe += ids
        else:
            self._locks |= dict.fromkeys(ids, actor)

    @contextmanager
    def _transaction(self, begin: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[None]:
        actor = self.scheduler.current
        if actor is None or transaction.get_connection().in_atomic_block:
            with begin(*args, **kwargs):
                yield
            return
        try:
            with begin(*args, **kwargs):
                # The first to be called after the commit, before anything is published.
                transaction.on_commit(lambda: self._unlock(actor))
                yield
                self.scheduler.stop("L3 commit")
                self.scheduler.note(actor.name, "L3 commit")
        finally:
            self._unlock(actor)

    def _unlock(self, actor: Actor) -> None:
        mine = [session_id for session_id, owner in self._locks.items() if owner is actor]
        for session_id in mine:
            del self._locks[session_id]
        self._to_observe += mine

    def _call_redis(self, attempt: Callable[..., Any], *args: Any) -> Any:
        """One round trip: the second one of an operation is a step of its own."""
        actor = self.scheduler.current
        if actor is None:
            return attempt(*args)
        actor.calls += 1
        if actor.calls > 1 or not actor.depth:
            self.scheduler.stop(f"{actor.doing}, round trip {actor.calls}")
        fault, actor.fault = actor.fault, None
        if fault == "unreached":
            for session_id in actor.telling if actor.depth else ():
                self._doubt(session_id, *self.processes)
            raise TierUnavailableError
        answer = attempt(*args)
        if fault == "unanswered":
            raise TierUnavailableError
        return answer

    def _collect_messages(self) -> None:
        for data in self._messages.collect():
            for process in self.processes:
                if not process.is_cut:
                    process.inbox.append(data)

    def _future(self) -> type[Future[Any]]:
        """Return a Future whose waiting is the scheduler's: an actor that is not chosen."""
        scheduler = self.scheduler

        class SteppedFuture(singleflight.Future):  # type: ignore[misc, type-arg]
            def result(self, timeout: float | None = None) -> Any:
                if scheduler.current is not None and not self.done():
                    scheduler.stop("joins another's load", waits=lambda: not self.done())
                return super().result(timeout)

        return SteppedFuture

    @staticmethod
    def _parse(data: bytes) -> tuple[str, int]:
        session_id, _, version = data.decode().partition(" ")
        return session_id, int(version)

    def _name(self, thing: Any) -> str:
        """Say it briefly."""
        if isinstance(thing, bytes):
            session_id, version = self._parse(thing)
            return f"{self.names.get(session_id, session_id)} v{version}"
        if isinstance(thing, Read):
            lease = thing.lease and f"lease {thing.lease[:4]}"
            return self._name(thing.copy or lease)
        if isinstance(thing, Copy):
            age = int((self.clock.now() - thing.true_at).total_seconds())
            return f"{self._name(thing.session)}, {age} s old"
        if isinstance(thing, SessionSnapshot):
            return f"{self.names.get(thing.id, thing.id)} v{thing.version}"
        if isinstance(thing, dict):
            parts = sorted(
                f"{self._name(key)}: {self._name(value)}" for key, value in thing.items()
            )
            return f"{{{', '.join(parts)}}}"
        text = self.names.get(thing, str(thing)) if isinstance(thing, str) else repr(thing)
        return text[:24]


class Call:
    """One call of a manager: what its process knew when it began."""

    def __init__(self, world: World, process: Process, session_id: str) -> None:
        self._world = world
        self._process = process
        self.session_id = session_id
        self._began = world.clock.now()
        self._floor = process.floors.get(session_id, 0)
        self._latest = max(world.history[session_id])
        self.if_version: int | None = None
        self.session: SessionSnapshot | None = None

    def answered(self, session: SessionSnapshot) -> None:
        self.session = session
        world, process = self._world, self._process
        name = f"{world.names[session.id]} v{session.version}"
        world.scheduler.note(process.name, f"answers {name}")
        world.check_true(session, at=self._began, by=process.name)
        if session.version < self._floor and not world.in_doubt(process, session.id):
            world.violated(f"{process.name} answered {name} though it knew v{self._floor}")

    def keeps(self) -> None:
        assert self.session is not None
        self._process.knows(self.session_id, self.session.version)

    def denied(self) -> None:
        if not self._world.is_gone(self.session_id):
            self._world.violated(f"{self._world.names[self.session_id]} was not found")

    def refused(self) -> None:
        latest = max(self._world.history[self.session_id])
        if self.if_version is None or latest == self.if_version == self._latest:
            name = self._world.names[self.session_id]
            self._world.violated(f"a write of {name} was refused at its own v{latest}")


def _copies(answer: Any) -> list[Copy]:
    if isinstance(answer, Read):
        answer = answer.copy
    if isinstance(answer, dict):
        return list(answer.values())
    return [answer] if isinstance(answer, Copy) else []


def _subjects(thing: Any) -> list[str]:
    """Return the ids of what an operation is about."""
    if isinstance(thing, Copy):
        return [thing.session.id]
    if isinstance(thing, SessionSnapshot):
        return [thing.id]
    if isinstance(thing, dict):
        return list(thing)
    return [thing] if isinstance(thing, str) else []

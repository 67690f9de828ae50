"""Whole runs of cleanup over real PostgreSQL and Redis, beside each other and beside shoppers."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sessions_unified import metrics, tasks, touches
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.upkeep import sweeping
from sessions_unified.upkeep.cleaning import Cleaner, Run
from sessions_unified.upkeep.load import LOCKS
from sessions_unified.upkeep.pacing import Pacer
from tests.managing import ORDER, cleaner, elsewhere, events, in_threads, lock_row, paid

if TYPE_CHECKING:
    import redis

    from sessions_unified.testing import FrozenClock
    from sessions_unified.tiers import Tiers
    from tests.fault_proxy import FaultProxy
    from tests.managing import MakeTiers


@pytest.fixture
def tiers(make_tiers: MakeTiers, clock: FrozenClock) -> Tiers:
    return make_tiers(clock=clock)


class TestRuns:
    def test_a_run_goes_on_until_nothing_is_left(self, tiers: Tiers, clock: FrozenClock) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        for _ in range(10):
            manager.create_session(**ORDER)
            clock.advance(seconds=1)
        clock.advance(days=2)
        steps: list[int] = []

        run = cleaner(tiers, largest=3, advance=steps.append).settle()

        assert run == Run(done=10, ended_by="done")
        assert steps == [3, 3, 3, 1, 0]  # the last is the pass from the start

    def test_a_batch_looks_only_from_where_the_one_before_ended(
        self, tiers: Tiers, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        ends = []
        for _ in range(4):
            ends.append(manager.create_session(**ORDER).expires_at)
            clock.advance(seconds=1)
        clock.advance(days=2)
        starts: list[Any] = []
        settle_batch = sweeping.settle_batch

        def watched(*args: Any, **kwargs: Any) -> sweeping.Batch:
            starts.append(kwargs["start"])
            return settle_batch(*args, **kwargs)

        monkeypatch.setattr(sweeping, "settle_batch", watched)
        cleaner(tiers, largest=2).settle()

        assert starts == [None, ends[1], ends[3], None]

    def test_what_a_shopper_had_locked_is_met_by_the_last_pass(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        first = manager.create_session(**ORDER)
        for _ in range(4):
            clock.advance(seconds=1)
            manager.create_session(**ORDER)
        clock.advance(days=2)
        let_go = threading.Event()
        ready = threading.Event()

        def shopper() -> None:
            with manager.lock_session(first.id, allow_expired=True):
                ready.set()
                let_go.wait(60)

        def clean() -> None:
            assert ready.wait(60)
            run = cleaner(tiers, largest=2, advance=lambda _: let_go.set()).settle()
            # Whether the row is free in time is the threads' affair; nothing may be done twice.
            assert run.done in {4, 5}

        assert in_threads(shopper, clean) == []
        cleaner(tiers).settle()
        assert events(first.id) == [(1, "session_created"), (2, "session_expired")]

    def test_what_becomes_due_during_a_run_is_left_to_the_next(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        for _ in range(4):
            manager.create_session(**ORDER)
            clock.advance(seconds=1)
        clock.advance(days=1, seconds=-3)

        run = cleaner(tiers, largest=1, advance=lambda _: clock.advance(seconds=2)).settle()

        assert run.done == 2
        assert cleaner(tiers).settle().done == 2

    def test_the_time_limit_ends_it_and_the_next_run_goes_on(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        for _ in range(4):
            manager.create_session(**ORDER)
        clock.advance(days=2)
        time = iter(range(100))
        pacer = Pacer(
            largest=1,
            batch_seconds=60,
            limit_seconds=4,
            rests=False,
            monotonic=lambda: float(next(time)),
        )

        run = Cleaner(tiers=tiers, pacer=pacer).settle()

        assert run.ended_by == "time"
        assert 0 < run.done < 4
        assert cleaner(tiers).settle() == Run(done=4 - run.done, ended_by="done")

    def test_what_was_done_is_counted(self, tiers: Tiers, clock: FrozenClock) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        manager.create_session(**ORDER)
        clock.advance(days=2)
        counters = [metrics.CLEANED.labels(work) for work in ("settle", "purge", "events")]
        before = [counter._value.get() for counter in counters]

        cleaner(tiers).settle()
        clock.advance(days=91)
        cleaner(tiers).purge()
        clock.advance(days=366)
        cleaner(tiers).drop_events()

        after = [counter._value.get() for counter in counters]
        assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 3]


class TestAtOnce:
    def test_r24_a_run_that_finds_another_at_work_leaves(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
        clock.advance(days=2)

        with elsewhere("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, 1]):
            assert cleaner(tiers).settle() == Run(done=0, ended_by="another")
        assert cleaner(tiers).settle() == Run(done=1, ended_by="done")

    def test_r24_runs_at_once_settle_and_purge_each_session_once(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        ids = [manager.create_session(**ORDER).id for _ in range(40)]
        clock.advance(days=2)
        settled: list[Run] = []
        purged: list[Run] = []

        def settle() -> None:
            settled.append(cleaner(tiers, largest=3, waits=True).settle())

        def purge() -> None:
            purged.append(cleaner(tiers, largest=3, waits=True).purge())

        assert in_threads(settle, settle, settle) == []
        clock.advance(days=91)
        assert in_threads(purge, purge, purge) == []

        assert sum(run.done for run in settled) == sum(run.done for run in purged) == 40
        kinds = ["session_created", "session_expired", "session_purged"]
        for session_id in ids:
            assert events(session_id) == list(enumerate(kinds, start=1))

    def test_r24_batches_without_any_lock_between_them_do_each_session_once(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        for _ in range(60):
            manager.create_session(**ORDER)
        clock.advance(days=2)
        start = threading.Barrier(4)
        done: list[int] = []

        def work() -> None:
            start.wait()
            while number := sweeping.settle_batch(tiers, size=7, now=clock.now()).done:
                done.append(number)

        assert in_threads(work, work, work, work) == []

        assert sum(done) == 60
        assert SessionEvent.objects.filter(kind="session_expired").count() == 60

    def test_cleaning_beside_shoppers_loses_no_write_and_deadlocks_nobody(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        ids = [manager.create_session(**ORDER).id for _ in range(12)]
        clock.advance(days=1)  # all are due: some shoppers come a moment too late
        kept: list[str] = []
        is_over = threading.Event()

        def shop() -> None:
            raised = in_threads(
                lambda: kept.extend(save_and_write(tiers, ids[:6])),
                lambda: kept.extend(save_and_write(tiers, ids[6:])),
            )
            is_over.set()
            assert raised == []

        def clean() -> None:
            while not is_over.is_set():
                cleaner(tiers, largest=4, waits=True).settle()

        assert in_threads(clean, clean, shop) == []

        for session in UnifiedSession.objects.filter(pk__in=ids):
            assert [seq for seq, _ in events(session.id)] == list(range(1, session.version + 1))
            expected = ("pending", {"n": 4}) if session.id in kept else ("expired", {"utm": "x"})
            assert (session.status, session.metadata) == expected


def save_and_write(tiers: Tiers, ids: list[str]) -> list[str]:
    """Extend each session that has not expired yet, and write to it; return which."""
    manager = UnifiedSessionManager(tiers=tiers)
    saved = []
    for session_id in ids:
        with manager.lock_session(session_id, allow_expired=True) as locked:
            if locked.session.status == "expired":
                continue
            locked.extend(timedelta(days=1), past_limit=True)
        saved.append(session_id)
        for number in range(5):
            manager.update_session(session_id, {"metadata": {"n": number}})
    return saved


class TestCaches:
    def test_a_copy_of_a_settled_session_may_stand_and_is_never_served(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        unpaid = manager.create_session(**ORDER)
        bought = paid(manager, manager.create_session(**ORDER))
        clock.advance(minutes=29, seconds=30)
        manager.get_sessions([unpaid.id, bought.id])
        manager.get_session(bought.id)
        clock.advance(seconds=30)
        assert tiers.redis is not None
        assert tiers.redis.peek(bought.id) is not None

        assert cleaner(tiers).settle().done == 1

        assert manager.get_session(bought.id).status == "completed"
        assert manager.get_sessions([bought.id])[bought.id].status == "completed"

    def test_settling_a_session_by_its_id_tells_the_caches(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        session = paid(manager, manager.create_session(**ORDER))
        clock.advance(minutes=29, seconds=30)
        manager.get_session(session.id)
        clock.advance(seconds=30)

        assert sweeping.expire_due(tiers, only=[session.id]) == 1

        assert tiers.redis is not None
        assert tiers.redis.peek(session.id) is None


class TestRedisDown:
    def test_what_no_touch_can_save_is_settled_and_the_rest_waits(
        self,
        redis_proxy: FaultProxy,
        make_tiers: MakeTiers,
        clock: FrozenClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        tiers = make_tiers(clock=clock, BREAKER_FAILURES=1000)
        manager = UnifiedSessionManager(tiers=tiers)
        unpaid = manager.create_session(**ORDER)
        old = paid(manager, manager.create_session(**ORDER))
        clock.advance(hours=23, minutes=30)
        idle, seen = (paid(manager, manager.create_session(**ORDER)) for _ in range(2))
        clock.advance(minutes=29)
        manager.touch_session(seen.id)
        clock.advance(minutes=2)
        redis_proxy.refuse()

        with caplog.at_level(logging.WARNING, logger="sessions_unified.upkeep.cleaning"):
            run = cleaner(tiers, largest=1).settle()

        assert run.done == 2
        rows = UnifiedSession.objects.in_bulk()
        assert rows[unpaid.id].status == "expired"
        assert rows[old.id].status == "completed"
        assert rows[idle.id].status == rows[seen.id].status == "processing"
        assert [name for name, *_ in caplog.record_tuples].count(
            "sessions_unified.upkeep.cleaning"
        ) == 1

        redis_proxy.pass_on()
        assert cleaner(tiers).settle().done == 1
        rows = UnifiedSession.objects.in_bulk()
        assert (rows[idle.id].status, rows[seen.id].status) == ("completed", "processing")


class TestStuckShopper:
    def test_a_touch_that_cannot_be_written_keeps_back_only_what_touches_may_save(
        self, tiers: Tiers, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(touches, "_LOCK_TIMEOUT_MS", 50)
        manager = UnifiedSessionManager(tiers=tiers)
        manager.create_session(**ORDER)
        clock.advance(hours=23, minutes=30)
        seen = paid(manager, manager.create_session(**ORDER))
        clock.advance(minutes=29)
        manager.touch_session(seen.id)
        clock.advance(minutes=2)

        with elsewhere(*lock_row(seen.id)):
            run = cleaner(tiers).settle()

        assert run == Run(done=1, ended_by="done")
        assert cleaner(tiers).settle() == Run(done=0, ended_by="done")


class TestTasks:
    @pytest.fixture(autouse=True)
    def _own_tiers(self, tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "get_tiers", lambda: tiers)

    def test_r24_a_task_delivered_again_changes_nothing(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        session_id = manager.create_session(**ORDER).id
        clock.advance(days=2)

        assert [tasks.expire_due_sessions() for _ in range(2)] == [1, 0]
        clock.advance(days=91)
        assert [tasks.purge_finished_sessions() for _ in range(2)] == [1, 0]

        kinds = [kind for _, kind in events(session_id)]
        assert kinds == ["session_created", "session_expired", "session_purged"]

    def test_a_redis_that_is_down_fails_no_task(
        self, tiers: Tiers, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert tiers.redis is not None
        for _ in range(3):
            tiers.redis.breaker.failed()

        assert tasks.flush_pending_touches() == 0
        assert tasks.expire_due_sessions() == 0

    def test_the_purge_drops_old_events_too(
        self, tiers: Tiers, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        session_id = manager.create_session(**ORDER).id
        manager.delete_session(session_id)
        clock.advance(days=366)

        tasks.purge_finished_sessions()

        assert events(session_id) == []

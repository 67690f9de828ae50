"""Touches over real PostgreSQL and Redis: coalesced, flushed, and what losing Redis costs."""

from __future__ import annotations

import os
import threading
import warnings
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sessions_unified import touches
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionExpiredError,
    TierUnavailableError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from tests.managing import ORDER, elsewhere, in_threads, lock_row, paid

if TYPE_CHECKING:
    import redis

    from sessions_unified.testing import FrozenClock
    from sessions_unified.tiers import Tiers
    from tests.fault_proxy import FaultProxy
    from tests.managing import MakeTiers

FLUSH_SECONDS = 10


@pytest.fixture
def tiers(make_tiers: MakeTiers, clock: FrozenClock) -> Tiers:
    return make_tiers(clock=clock)


def last_seen(session_id: str) -> datetime | None:
    return UnifiedSession.objects.get(pk=session_id).last_seen_at


class TestCoalescing:
    def test_a_touch_within_the_resolution_is_not_written_again(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        began = clock.now()
        touches.touch(tiers, "ws_1_a", began)
        clock.advance(seconds=4.9)
        touches.touch(tiers, "ws_1_a", clock.now())

        assert touches.pending_touch(tiers, "ws_1_a") == began

        clock.advance(seconds=0.1)
        touches.touch(tiers, "ws_1_a", clock.now())

        assert touches.pending_touch(tiers, "ws_1_a") == began + timedelta(seconds=5)

    def test_each_process_writes_its_own(self, make_tiers: MakeTiers, clock: FrozenClock) -> None:
        first, second = make_tiers(clock=clock), make_tiers(clock=clock)
        touches.touch(first, "ws_1_a", clock.now())
        clock.advance(seconds=1)

        touches.touch(second, "ws_1_a", clock.now())

        assert touches.pending_touch(first, "ws_1_a") == clock.now()

    def test_a_process_that_is_late_lowers_nothing(
        self, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        first, second = make_tiers(clock=clock), make_tiers(clock=clock)
        late = clock.now()
        clock.advance(seconds=1)
        touches.touch(first, "ws_1_a", clock.now())

        touches.touch(second, "ws_1_a", late)

        assert touches.pending_touch(first, "ws_1_a") == clock.now()

    def test_only_so_many_are_remembered(
        self, tiers: Tiers, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(touches, "_MOST_REMEMBERED", 2)
        for name in ("ws_1_a", "ws_1_b", "ws_1_c"):
            touches.touch(tiers, name, clock.now())
        clock.advance(seconds=1)

        for name in ("ws_1_a", "ws_1_c"):
            touches.touch(tiers, name, clock.now())

        assert touches.pending_touch(tiers, "ws_1_a") == clock.now()
        assert touches.pending_touch(tiers, "ws_1_c") == clock.now() - timedelta(seconds=1)

    def test_a_forked_child_remembers_nothing(self, tiers: Tiers, clock: FrozenClock) -> None:
        touches.touch(tiers, "ws_1_a", clock.now())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads beside a fork
            child = os.fork()
        if child == 0:
            os._exit(len(touches._written))

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(touches._written) > 0

    def test_many_threads_write_one_touch(self, tiers: Tiers, clock: FrozenClock) -> None:
        start = threading.Barrier(8)

        def be_seen() -> None:
            start.wait()
            for number in range(200):
                touches.touch(tiers, f"ws_1_{number}", clock.now())

        threads = [threading.Thread(target=be_seen) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert all(touches.pending_touch(tiers, f"ws_1_{n}") == clock.now() for n in range(200))


class TestWithoutRedis:
    def test_touches_go_to_the_database_and_are_coalesced_there_too(
        self, redis_proxy: FaultProxy, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        tiers = make_tiers(clock=clock)
        session_id = UnifiedSessionManager(tiers=tiers).create_session(**ORDER).id
        began = clock.now()
        redis_proxy.refuse()

        touches.touch(tiers, session_id, began)
        clock.advance(seconds=1)
        touches.touch(tiers, session_id, clock.now())

        assert last_seen(session_id) == began

    def test_what_was_written_to_a_redis_that_failed_is_written_again(
        self, redis_proxy: FaultProxy, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        tiers = make_tiers(clock=clock)
        manager = UnifiedSessionManager(tiers=tiers)
        session_id, other = (manager.create_session(**ORDER).id for _ in range(2))
        touches.touch(tiers, session_id, clock.now())
        redis_proxy.refuse()
        touches.touch(tiers, other, clock.now())
        clock.advance(seconds=1)

        touches.touch(tiers, session_id, clock.now())

        assert last_seen(session_id) == clock.now()


class TestUnreadable:
    """A touch that may keep a session alive can't be read just now."""

    def test_a_read_neither_answers_nor_settles(
        self, redis_proxy: FaultProxy, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        tiers = make_tiers(clock=clock)
        manager = UnifiedSessionManager(tiers=tiers)
        session = paid(manager, manager.create_session(**ORDER))
        clock.advance(minutes=20)
        manager.touch_session(session.id)
        clock.advance(minutes=20)
        redis_proxy.refuse()

        with pytest.raises(SessionExpiredError):
            manager.get_session(session.id)
        with pytest.raises(SessionExpiredError), manager.lock_session(session.id):
            pass
        redis_proxy.pass_on()
        tiers.redis.breaker.succeeded()  # type: ignore[union-attr]  # of a Redis that exists

        assert manager.get_session(session.id).status == "processing"

    def test_past_the_absolute_limit_it_does_not_matter(
        self, redis_proxy: FaultProxy, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
        session = paid(manager, manager.create_session(**ORDER))
        clock.advance(hours=25)
        redis_proxy.refuse()

        assert manager.get_session(session.id).status == "completed"


class TestLimits:
    def test_r28_touches_slide_the_idle_limit_and_never_the_absolute_one(
        self, make_tiers: MakeTiers, clock: FrozenClock
    ) -> None:
        tiers = make_tiers(clock=clock, L1_ENABLED=False)
        manager = UnifiedSessionManager(tiers=tiers)
        session = paid(manager, manager.create_session(**ORDER))

        for _ in range(57):  # 23 hours and 45 minutes
            clock.advance(minutes=25)
            assert manager.get_session(session.id).status == "processing"
            manager.touch_session(session.id)
        touches.flush_touches(tiers)
        clock.advance(minutes=14)
        assert manager.get_session(session.id).status == "processing"
        manager.touch_session(session.id)
        clock.advance(minutes=2)

        assert manager.get_session(session.id).status == "completed"

    def test_r28_of_an_unpaid_session_the_end_is_the_end(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        session_id = manager.create_session(**ORDER).id
        clock.advance(hours=23, minutes=59, seconds=59)
        manager.touch_session(session_id)
        clock.advance(seconds=1)

        with pytest.raises(SessionExpiredError):
            manager.get_session(session_id)

    def test_losing_redis_costs_one_flush_interval(
        self, tiers: Tiers, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        manager = UnifiedSessionManager(tiers=tiers)
        session_id = manager.create_session(**ORDER).id
        manager.touch_session(session_id)
        flushed_at = clock.now()
        touches.flush_touches(tiers)
        clock.advance(seconds=FLUSH_SECONDS)
        manager.touch_session(session_id)

        redis_client.flushall()
        touches.flush_touches(tiers)

        assert last_seen(session_id) == flushed_at
        clock.advance(seconds=5)
        manager.touch_session(session_id)
        touches.flush_touches(tiers)
        assert last_seen(session_id) == clock.now()


class TestFlush:
    @pytest.fixture
    def ids(self, tiers: Tiers) -> list[str]:
        """Make some sessions that were just seen."""
        manager = UnifiedSessionManager(tiers=tiers)
        made = [manager.create_session(**ORDER).id for _ in range(20)]
        for session_id in made:
            manager.touch_session(session_id)
        return made

    def test_in_batches_all_are_written(
        self, tiers: Tiers, clock: FrozenClock, ids: list[str]
    ) -> None:
        assert touches.flush_touches(tiers, batch_size=7) == 20
        assert touches.flush_touches(tiers, batch_size=7) == 0
        assert {last_seen(session_id) for session_id in ids} == {clock.now()}

    def test_a_flush_that_died_before_redis_forgot_is_repeated_harmlessly(
        self, tiers: Tiers, clock: FrozenClock, ids: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: Any) -> None:
            raise TierUnavailableError

        monkeypatch.setattr(tiers.redis, "run_script", die)
        with pytest.raises(TierUnavailableError):
            touches.flush_touches(tiers)
        monkeypatch.undo()
        seen_at = clock.now()
        clock.advance(seconds=1)

        assert touches.flush_touches(tiers) == 20
        assert {last_seen(session_id) for session_id in ids} == {seen_at}
        assert set(UnifiedSession.objects.values_list("version", flat=True)) == {1}

    def test_r24_flushes_at_once_neither_deadlock_nor_count_twice(
        self, tiers: Tiers, clock: FrozenClock, ids: list[str]
    ) -> None:
        start = threading.Barrier(4)
        flushed: list[int] = []

        def flush() -> None:
            start.wait()
            flushed.append(touches.flush_touches(tiers, batch_size=3))

        assert in_threads(*[flush] * 4) == []

        assert sum(flushed) == 20
        assert {last_seen(session_id) for session_id in ids} == {clock.now()}

    def test_rows_are_locked_in_one_order_whoever_was_seen_first(
        self, tiers: Tiers, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("ws_1_c", "ws_1_a", "ws_1_b"):
            touches.touch(tiers, name, clock.now())
            clock.advance(seconds=1)
        written: list[str] = []
        monkeypatch.setattr(tiers.database, "raise_last_seen", written.extend)

        touches.flush_touches(tiers)

        assert written == ["ws_1_a", "ws_1_b", "ws_1_c"]

    def test_a_batch_that_the_database_refuses_does_not_stop_the_others(
        self, tiers: Tiers, ids: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(touches, "_LOCK_TIMEOUT_MS", 50)

        with elsewhere(*lock_row(ids[3])), pytest.raises(DatabaseUnavailableError):
            touches.flush_touches(tiers, batch_size=4)

        assert UnifiedSession.objects.filter(last_seen_at=None).count() == 4
        assert touches.flush_touches(tiers) == 4

    def test_what_comes_while_it_flushes_is_left_to_the_next(
        self,
        tiers: Tiers,
        clock: FrozenClock,
        ids: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write = tiers.database.raise_last_seen
        rounds: list[int] = []

        def all_are_seen_again(seen: dict[str, datetime]) -> None:
            write(seen)
            rounds.append(len(seen))
            assert len(rounds) < 20, "it follows its own tail"
            clock.advance(seconds=5)
            for session_id in seen:
                touches.touch(tiers, session_id, clock.now())

        monkeypatch.setattr(tiers.database, "raise_last_seen", all_are_seen_again)

        assert touches.flush_touches(tiers, batch_size=5) == 0
        assert rounds == [5, 5, 5, 5]

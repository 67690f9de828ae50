"""The relay: every event, in the order of commits, to each consumer, over real servers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_unified import event_log
from sessions_unified.event_log import Place
from sessions_unified.exceptions import SessionsUnifiedError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.metrics import RELAYED
from sessions_unified.models import LogCursor, SessionEvent
from sessions_unified.relay import Consumer, Follower, Relay, cursors
from sessions_unified.testing import FrozenClock
from tests.managing import ORDER, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.event_log import Entry
    from tests.managing import MakeTiers


class Recorder(Consumer):
    """Remembers what it was given; fails while told to."""

    name: ClassVar[str] = "recorder"

    def __init__(self, history: float | None = None) -> None:
        self.history = history
        self.entries: list[Entry] = []
        self.failure: Exception | None = None

    @property
    def history_seconds(self) -> float | None:
        return self.history

    @property
    def seen(self) -> list[tuple[str, int]]:
        return [(entry.session_id, entry.seq) for entry in self.entries]

    def handle(self, entries: Sequence[Entry]) -> None:
        if self.failure is not None:
            raise self.failure
        self.entries.extend(entries)


class Later(Recorder):
    """Begins with what happens from now on."""

    name: ClassVar[str] = "later"

    @property
    def history_seconds(self) -> float:
        return 0


@pytest.fixture
def manager(make_tiers: MakeTiers) -> UnifiedSessionManager:
    return UnifiedSessionManager(tiers=make_tiers(L1_ENABLED=False))


@pytest.fixture
def batch_of(settings: SettingsWrapper) -> Callable[[int], None]:
    def choose(size: int) -> None:
        changed = {"RELAY_BATCH_SIZE": size, "RELAY_POLL_SECONDS": 0.02}
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | changed

    return choose


def drained(consumer: Consumer, manager: UnifiedSessionManager) -> Relay:
    relay = Relay([consumer], manager._tiers)
    assert relay.drain()
    return relay


@contextmanager
def in_a_thread(work: Callable[[], None]) -> Iterator[None]:
    """Run ``work`` beside the block, on a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def one_that_commits_late(manager: UnifiedSessionManager) -> Iterator[str]:
    """Create a session beside the block that is committed only at its end; yield its id."""
    has_written, may_commit = threading.Event(), threading.Event()
    ids: list[str] = []

    def write_slowly() -> None:
        with transaction.atomic():
            ids.append(manager.create_session(**ORDER).id)
            has_written.set()
            assert may_commit.wait(60)

    with in_a_thread(write_slowly):
        assert has_written.wait(60)
        try:
            yield ids[0]
        finally:
            may_commit.set()


def test_it_hands_over_every_event_once_and_in_order(
    manager: UnifiedSessionManager, batch_of: Callable[[int], None]
) -> None:
    batch_of(2)
    first, second = (manager.create_session(**ORDER) for _ in range(2))
    manager.update_session(first.id, {"metadata": {"gift": True}})
    recorder, before = Recorder(), RELAYED.labels("recorder")._value.get()

    drained(recorder, manager)
    drained(recorder, manager)

    assert recorder.seen == [(first.id, 1), (second.id, 1), (first.id, 2)]
    last = recorder.entries[-1]
    assert (last.kind, last.changed, last.actor) == ("session_updated", ["metadata"], "system")
    assert last.data == SessionEvent.objects.get(session_id=first.id, seq=2).data
    assert RELAYED.labels("recorder")._value.get() - before == 3


def test_a_batch_of_a_large_backlog_is_read_by_the_index(manager: UnifiedSessionManager) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sessions_unified_sessionevent "
            "(session_id, seq, kind, changed, data, actor, at) SELECT 'ws_1_' || n, 1, "
            "'session_purged', '[]', '{}', 'system', now() FROM generate_series(1, 5000) AS n"
        )
        cursor.execute("ANALYZE sessions_unified_sessionevent")
    with CaptureQueriesContext(connection) as read:
        assert len(event_log.read_after(event_log.BEGINNING, 100)) == 100
        assert event_log.place_at(timezone.now()).position > 0

    for query in read.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert "su_event_order" in plan
        assert "Sort" not in plan


def test_a_new_process_goes_on_where_the_last_one_stopped(manager: UnifiedSessionManager) -> None:
    first = manager.create_session(**ORDER)
    drained(Recorder(), manager)
    second = manager.create_session(**ORDER)

    afterwards = Recorder()
    drained(afterwards, manager)

    assert first.id != second.id
    assert afterwards.seen == [(second.id, 1)]


def test_a_consumer_may_begin_at_the_end(manager: UnifiedSessionManager) -> None:
    manager.create_session(**ORDER)
    later = Later()

    drained(later, manager)
    new = manager.create_session(**ORDER)
    drained(later, manager)

    assert later.seen == [(new.id, 1)]


def test_who_begins_at_the_end_waits_for_what_is_being_written(
    manager: UnifiedSessionManager,
) -> None:
    later = Later()

    with one_that_commits_late(manager) as slow_id:
        quick = manager.create_session(**ORDER)
        drained(later, manager)
    drained(later, manager)

    assert later.seen == [(slow_id, 1), (quick.id, 1)]


def test_what_commits_late_is_not_passed_over(manager: UnifiedSessionManager) -> None:
    """The gap of every reader by serial number: it is given at INSERT, and seen at COMMIT."""
    recorder = Recorder()

    with one_that_commits_late(manager) as slow_id:
        quick = manager.create_session(**ORDER)
        drained(recorder, manager)
        seen_meanwhile = list(recorder.seen)
        lag, holder = event_log.lag("recorder"), event_log.held_back_by()
    drained(recorder, manager)

    assert seen_meanwhile == []
    assert lag.events == 1
    assert holder is not None
    assert holder.pid is not None
    assert 0 <= holder.seconds < 10
    assert recorder.seen == [(slow_id, 1), (quick.id, 1)]
    positions = [entry.place.position for entry in recorder.entries]
    assert positions == sorted(positions)  # the gap was there
    assert event_log.held_back_by() is None


def test_a_transaction_that_is_as_old_as_its_first_write_keeps_its_place(
    manager: UnifiedSessionManager, batch_of: Callable[[int], None]
) -> None:
    """Its event may have the higher position: the order is by transaction all the same."""
    batch_of(1)
    recorder = Recorder()
    began, may_write, late = threading.Event(), threading.Event(), []

    def begin_and_write_late() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()")
            began.set()
            assert may_write.wait(60)
            late.append(manager.create_session(**ORDER).id)

    with in_a_thread(begin_and_write_late):
        assert began.wait(60)
        quick = manager.create_session(**ORDER)
        drained(recorder, manager)
        may_write.set()
    drained(recorder, manager)

    assert recorder.seen == [(late[0], 1), (quick.id, 1)]
    positions = [entry.place.position for entry in recorder.entries]
    assert positions == sorted(positions, reverse=True)


def test_two_relays_at_once_hand_over_each_event_once(
    manager: UnifiedSessionManager, batch_of: Callable[[int], None]
) -> None:
    batch_of(3)
    ids = [manager.create_session(**ORDER).id for _ in range(40)]
    recorder, stop = Recorder(), threading.Event()
    relays = [Relay([recorder], manager._tiers) for _ in range(2)]

    with in_a_thread(lambda: relays[0].run(stop)), in_a_thread(lambda: relays[1].run(stop)):
        wait_for(lambda: event_log.lag("recorder").events == 0)
        stop.set()

    assert recorder.seen == [(session_id, 1) for session_id in ids]


def test_a_relay_leaves_a_consumer_that_another_works_for(manager: UnifiedSessionManager) -> None:
    manager.create_session(**ORDER)
    blocked, may_go_on, second = threading.Event(), threading.Event(), Recorder()

    class Slow(Recorder):
        def handle(self, entries: Sequence[Entry]) -> None:
            blocked.set()
            assert may_go_on.wait(60)
            super().handle(entries)

    first = Slow()
    with in_a_thread(lambda: drained(first, manager) and None):
        assert blocked.wait(60)
        drained(second, manager)
        may_go_on.set()

    assert second.seen == []
    assert len(first.seen) == 1


def test_a_consumer_that_fails_rests_longer_each_time_and_stops_nobody(
    manager: UnifiedSessionManager, settings: SettingsWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"RELAY_POLL_SECONDS": 1}
    session = manager.create_session(**ORDER)
    broken, sound, now = Recorder(), type("Sound", (Recorder,), {"name": "sound"})(), [100.0]
    relay = Relay([broken, sound], manager._tiers)
    relay.followers[0] = Follower(broken, manager._tiers, monotonic=lambda: now[0])
    broken.failure = ValueError("no")
    tries = []

    for second in range(30):
        now[0] = 100.0 + second
        failures = relay.followers[0].failures
        relay.round()
        if relay.followers[0].failures > failures:
            tries.append(second)
    broken.failure = None
    now[0] = 1000.0
    relay.round()

    assert tries == [0, 1, 3, 7, 12, 17, 22, 27]  # never more than 5 s apart
    assert sound.seen == broken.seen == [(session.id, 1)]
    assert relay.followers[0].failures == 0
    assert "recorder failed, 2 in a row; it tries again in 2.0 s: no" in caplog.text


def test_events_that_are_asked_for_again_are_given_though_the_first_attempt_fails(
    manager: UnifiedSessionManager, settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"RELAY_POLL_SECONDS": 0}

    class Forgetful(Recorder):
        history_seconds = 1000.0
        asks: ClassVar[list[float]] = []

        def replay_seconds(self) -> float:
            return self.asks.pop() if self.asks else 0

    session, forgetful = manager.create_session(**ORDER), Forgetful()
    relay = drained(forgetful, manager)
    forgetful.asks.append(500)
    forgetful.failure = OSError("not now")
    is_well = relay.drain()
    forgetful.failure = None
    relay.drain()
    relay.drain()

    assert not is_well
    assert forgetful.seen == [(session.id, 1)] * 2


def test_r10_what_a_consumer_writes_is_committed_with_its_cursor(
    manager: UnifiedSessionManager,
) -> None:
    first = manager.create_session(**ORDER)

    class Writer(Recorder):
        def handle(self, entries: Sequence[Entry]) -> None:
            for entry in entries:
                Group.objects.create(name=f"{entry.session_id} {entry.seq}")
            super().handle(entries)

    writer = Writer()
    writer.failure = RuntimeError("died after its writes")
    relay = Relay([writer], manager._tiers)
    assert not relay.drain()
    written_at_first = Group.objects.count()
    writer.failure = None
    drained(writer, manager)

    assert written_at_first == 0
    assert Group.objects.get().name == f"{first.id} 1"


def test_the_lag_is_the_age_of_the_oldest_event_that_is_not_handled(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    drained(Recorder(), manager)
    clock.advance(seconds=-30)
    for _ in range(3):
        manager.create_session(**ORDER)
        clock.advance(seconds=10)

    behind = event_log.lag("recorder")
    unknown = event_log.lag("nobody")
    drained(Recorder(), manager)

    assert behind.events == unknown.events == 3
    assert behind.seconds > 25
    assert event_log.lag("recorder") == (0, 0)


def test_a_log_that_was_restored_from_a_dump_is_said_and_the_documented_way_out_works(
    manager: UnifiedSessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    old = [manager.create_session(**ORDER).id for _ in range(2)]
    drained(Recorder(), manager)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sessions_unified_sessionevent DISABLE TRIGGER ALL")
        cursor.execute("UPDATE sessions_unified_sessionevent SET xid = '900000000'")
        cursor.execute("ALTER TABLE sessions_unified_sessionevent ENABLE TRIGGER ALL")
        cursor.execute("UPDATE sessions_unified_logcursor SET xid = '900000000'")
    is_well = Relay([Recorder()], manager._tiers).drain()
    page = (Path(__file__).parents[2] / "docs/explanation/relay.md").read_text()
    section = page.partition("## After a restore")[2]
    with connection.cursor() as cursor:
        cursor.execute(section.partition("```sql\n")[2].partition("```")[0])
    new = manager.create_session(**ORDER)
    recorder = Recorder()
    drained(recorder, manager)

    assert not is_well
    assert "it was restored from a dump" in caplog.text
    with pytest.raises(SessionsUnifiedError, match="After a restore"):
        event_log.check_order(event_log.Place(900_000_000, 1))
    assert recorder.seen == [(session_id, 1) for session_id in [*old, new.id]]
    with pytest.raises(DatabaseError, match="append-only"):
        SessionEvent.objects.update(kind="x")


@pytest.mark.django_db
def test_going_back_again_and_again_never_goes_back_further_than_asked_for() -> None:
    # 100 events a second; Redis changes every 20 s, and what it has lost is handed on at once.
    began, seconds_asked = datetime(2026, 1, 1, tzinfo=UTC), 75.0
    cursor = LogCursor.objects.create(
        consumer="caches", trail=[[began.timestamp(), 0, 0]], updated_at=began
    )
    consumer, place = Recorder(history=seconds_asked), 0
    ages: list[float] = []
    for second in range(400):
        now, head = began + timedelta(seconds=second), second * 100
        cursor.refresh_from_db()
        if second % 20 == 19:
            place = cursors.earlier(cursor, since=now - timedelta(seconds=seconds_asked)).xid
            ages.append(second - place / 100)
        while place < head:
            cursor.refresh_from_db()
            place = min(place + 1000, head)
            cursors.move(cursor, Place(place, place), consumer, now=now)

    assert max(ages) <= seconds_asked + 2 * 5  # the trail has a place every 5 s

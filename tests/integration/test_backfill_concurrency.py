"""Backfills beside each other, beside shoppers, and killed: nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from funnel.payments.models import ChargeAttempt
from legacy_adapters import sample_world
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import OpenRunError
from legacy_adapters.migration.backfill import runs
from legacy_adapters.migration.backfill.reporting import Report, tally_of
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.models import BackfillRun, ImportRecord
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.upkeep.load import HOLD, LOCKS
from tests.backfills import worker_of
from tests.legacy import create_table, paid_row, put, row
from tests.managing import elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 215
ID = "ws_mwo5wwds_2"


@pytest.fixture
def adapter(transactional_db: None, redis_flush: None) -> Iterator[DatabaseAdapter]:
    adapter = DatabaseAdapter(source="database", alias="default")
    yield adapter
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS funnel_sessions")


def backfill_in_thread(adapter: DatabaseAdapter, batch_size: int = 500) -> Report:
    try:
        return backfill(adapter, batch_size=batch_size)
    finally:
        connections.close_all()


def is_waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        return bool(cursor.fetchone()[0])


def assert_each_row_is_here_once() -> None:
    assert UnifiedSession.objects.count() == ROWS
    assert ImportRecord.objects.count() == ROWS
    imported = SessionEvent.objects.filter(kind="session_imported")
    assert imported.count() == imported.values("session_id").distinct().count() == ROWS
    purposes = ChargeAttempt.objects.values_list("session_id", "purpose")
    assert len(purposes) == len(set(purposes)) == 266
    assert UnifiedSession.objects.filter(holds=1).count() == 26
    assert UnifiedSession.objects.filter(holds__gt=1).count() == 0


def test_backfills_at_once_import_each_row_once(adapter: DatabaseAdapter) -> None:
    sample_world.load(adapter.table)
    sizes = (3, 10, 40, 500)

    with ThreadPoolExecutor(len(sizes)) as pool:
        reports = list(pool.map(lambda size: backfill_in_thread(adapter, size), sizes))

    assert [report.read for report in reports] == [ROWS] * len(sizes)
    assert sum(report.imported for report in reports) == ROWS
    assert sum(report.unchanged for report in reports) == ROWS * (len(sizes) - 1)
    assert_each_row_is_here_once()


def wait_until_blocked(what: str) -> None:
    deadline = time.monotonic() + 10
    while not is_waiting_for_a_lock():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_row_that_another_backfill_was_quicker_with_is_unchanged(
    adapter: DatabaseAdapter,
) -> None:
    create_table(adapter.table)
    put(adapter.table, row())

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            quicker = backfill(adapter)
            # Its shopper goes on at once, so that nothing but the import record tells.
            UnifiedSessionManager().update_session(ID, {"email": "here@example.org"})
            running = pool.submit(backfill_in_thread, adapter)
            wait_until_blocked("the second backfill did not wait for the first")
        slower = running.result(timeout=60)

    assert (quicker.imported, slower.unchanged, slower.read) == (1, 1, 1)


def test_one_transaction_in_two_batches_at_once_is_kept_by_one_and_both_are_paid(
    adapter: DatabaseAdapter,
) -> None:
    create_table(adapter.table)
    put(adapter.table, paid_row())

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            backfill(adapter)
            put_elsewhere = pool.submit(put_in_thread, adapter, paid_row(id="ws_mwo5wwds_1"))
            put_elsewhere.result(timeout=60)
            running = pool.submit(backfill_in_thread, adapter, 1)
            wait_until_blocked("the second batch did not wait for the first")
        report = running.result(timeout=60)

    assert (report.imported, report.unchanged, report.unreadable) == (1, 1, [])
    attempts = ChargeAttempt.objects.order_by("pk").values_list("state", "transaction_id")
    assert list(attempts) == [("succeeded", "3029929089"), ("succeeded", None)]


def put_in_thread(adapter: DatabaseAdapter, record: dict[str, Any]) -> None:
    try:
        put(adapter.table, record)
    finally:
        connections.close_all()


def test_a_shopper_who_writes_meanwhile_is_not_overwritten(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    put(adapter.table, row())
    backfill(adapter)
    put(adapter.table, row(email="there@example.org"))
    manager = UnifiedSessionManager()

    with ThreadPoolExecutor(1) as pool:
        with manager.lock_session(ID) as locked:
            locked.update({"email": "here@example.org"}, kind="session_updated")
            # It reads the committed version, and waits for this transaction to write.
            running = pool.submit(backfill_in_thread, adapter)
            wait_until_blocked("the backfill did not meet the shopper")
        report = running.result(timeout=60)

    assert [(each.id, each.fields) for each in report.conflicts] == [(ID, ("email",))]
    assert UnifiedSession.objects.get().email == "here@example.org"


def test_shoppers_go_on_while_everything_is_imported_again(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    ids = [f"ws_1_{number}" for number in range(30)]
    put(adapter.table, *(row(id=each) for each in ids))
    backfill(adapter)
    stop = threading.Event()

    def shop() -> int:
        manager, number = UnifiedSessionManager(), 0
        try:
            while not stop.is_set():
                note = {"metadata": {"n": number}}
                manager.update_session(ids[number % len(ids)], note)
                number += 1
            return number
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        shopper = pool.submit(shop)
        reports = []
        for turn in range(10):
            put(adapter.table, *(row(id=each, email=f"t{turn}@example.org") for each in ids))
            reports.append(backfill(adapter, batch_size=7))
        stop.set()
        written = shopper.result(timeout=60)

    assert written > 0
    assert [report.read for report in reports] == [30] * 10
    updates = SessionEvent.objects.filter(kind="session_updated")
    assert updates.count() == written
    for session in UnifiedSession.objects.all():
        events = SessionEvent.objects.filter(session_id=session.id)
        assert sorted(events.values_list("seq", flat=True)) == list(range(1, session.version + 1))


def test_workers_of_one_run_never_overlap(adapter: DatabaseAdapter) -> None:
    sample_world.load(adapter.table)
    run = runs.begin(adapter, batch_size=9, workers=5)
    runs.go_on(run)

    def work(name: str) -> int:
        told: list[int] = []
        try:
            worker_of(run, adapter, name, advance=told.append).work()
        finally:
            connections.close_all()
        return sum(told)

    with ThreadPoolExecutor(3) as pool:
        read = list(pool.map(work, ("a", "b", "c")))

    run.refresh_from_db()
    assert (run.state, sum(read), tally_of(run).read) == ("finished", ROWS, ROWS)
    assert tally_of(run).imported == ROWS
    assert_each_row_is_here_once()


def test_two_runs_begun_at_once_are_one(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    ready = threading.Barrier(2)

    def begin(_: int) -> bool:
        try:
            ready.wait(60)
            runs.begin(adapter, batch_size=9)
        except OpenRunError:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(2) as pool:
        begun = list(pool.map(begin, range(2)))

    assert sorted(begun) == [False, True]


def test_while_paced_work_is_on_hold_it_does_none_and_says_why(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    put(adapter.table, row())

    with (
        elsewhere("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, HOLD]),
        pytest.raises(CommandError, match=r"on hold: .* --resume goes on\."),
    ):
        call_command("backfill_sessions", source="database")

    run = BackfillRun.objects.get()
    assert (run.state, tally_of(run).read) == ("running", 0)
    call_command("backfill_sessions", source="database", resume=True)
    assert tally_of(run).read == 1

"""Runs of the backfill: their slices, cursors, claims, pauses, and reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import OpenRunError, SourceUnavailableError
from legacy_adapters.migration.backfill import reporting, runs, slices, working
from legacy_adapters.migration.backfill.chunks import Chunk
from legacy_adapters.migration.backfill.pace import Throttle
from legacy_adapters.migration.backfill.reporting import Report, tally_of
from legacy_adapters.models import BackfillFinding, BackfillRun, BackfillSlice, ImportRecord
from legacy_adapters.testing import InMemoryAdapter
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from tests.backfills import assert_adds_up, cursors, put_many, readable, worker_of
from tests.legacy import create_table, put, row

if TYPE_CHECKING:
    from legacy_adapters.migration.backfill.chunks import Outcome

ROWS = 60


@pytest.fixture
def adapter(db: None, redis_flush: None) -> DatabaseAdapter:
    adapter = DatabaseAdapter(source="database", alias="default")
    create_table(adapter.table)
    put_many(adapter.table, ROWS)
    return adapter


def begun(adapter: DatabaseAdapter | InMemoryAdapter, **options: Any) -> BackfillRun:
    run = runs.begin(adapter, **{"batch_size": 7, **options})
    runs.go_on(run)
    return run


def end(run: BackfillRun, adapter: DatabaseAdapter | InMemoryAdapter) -> Report:
    worker_of(run, adapter, "last").work()
    run.refresh_from_db()
    assert run.state == "finished"
    return Report.of(run)


class TestSlices:
    def test_they_cut_the_store_without_a_gap(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter, workers=4)

        parts = run.slices.order_by("pk").values_list("lower", "upper", "cursor")

        assert len(parts) == 4
        assert (parts[0][0], parts[3][1]) == (None, None)
        assert [lower for lower, _, _ in parts[1:]] == [upper for _, upper, _ in parts[:3]]
        assert [lower for lower, _, _ in parts] == [cursor for _, _, cursor in parts]

    def test_each_row_is_read_by_one_of_them(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter, workers=4)

        report = end(run, adapter)

        assert (report.read, report.imported) == (ROWS, readable(ROWS))
        assert all(part.is_finished for part in run.slices.all())
        assert_adds_up(run)

    def test_a_large_store_gets_more_than_there_are_workers(self, db: None) -> None:
        class Large(InMemoryAdapter):
            def count(self, **_: Any) -> int:
                return 1_000_000

            def boundaries(self, parts: int) -> tuple[str, ...]:
                return tuple(f"{part:03}" for part in range(parts - 1))

        run = runs.begin(Large(source="large"), batch_size=500)

        assert run.slices.count() == 64

    def test_a_row_behind_the_last_key_is_read_too(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter, workers=2)
        put(adapter.table, row(id="ws_zzzzzzzz_2"))

        assert end(run, adapter).read == ROWS + 1

    def test_a_key_that_no_column_holds_is_a_cursor_all_the_same(self, db: None) -> None:
        rows = {f"ws_1_\x00\ud800{n}": row(id=f"ws_1_\x00\ud800{n}") for n in range(3)}
        adapter = InMemoryAdapter(source="memory", rows=rows)
        run = begun(adapter, batch_size=1)

        worker_of(run, adapter, limit=1).work()

        assert runs.decode_key(cursors(run)[0]) == "ws_1_\x00\ud8000"
        report = end(run, adapter)
        assert report.tally.unreadable == 3
        assert {each.id for each in report.unreadable} == {f"ws_1_\ufffd?{n}" for n in range(3)}


class TestTwoWorkers:
    def test_they_take_different_slices(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter, workers=2)

        taken = [slices.claim(run, name) for name in ("a", "b", "c")]

        assert taken[0] is not None
        assert taken[1] is not None
        assert taken[0].pk != taken[1].pk
        assert taken[2] is None

    def test_one_that_is_dead_is_followed_by_another(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        slices.claim(run, "dead")
        assert slices.claim(run, "another") is None

        old = datetime.now(UTC) - slices.CLAIM_LIFETIME - timedelta(seconds=5)
        run.slices.update(updated_at=old)

        assert slices.claim(run, "another") is not None

    def test_one_that_only_seemed_dead_does_nothing_twice(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        slow = worker_of(run, adapter, "slow")
        assert slow._claim()
        slices.release_all(run, "slow")
        worker_of(run, adapter, "quick", limit=14).work()

        slow._batch(7)

        assert tally_of(run).read == 14
        assert_adds_up(run)
        assert slow._part is None
        end(run, adapter)
        assert_adds_up(run)

    def test_one_that_reads_for_longer_than_a_claim_gets_on(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        slow, quick = worker_of(run, adapter, "slow"), worker_of(run, adapter, "quick")
        assert slow._claim()
        assert slow._part is not None
        old = datetime.now(UTC) - slices.CLAIM_LIFETIME - timedelta(seconds=5)
        slow._part.updated_at = old
        run.slices.update(updated_at=old)
        assert quick._claim()

        slow._batch(7)
        quick._batch(7)

        assert (tally_of(run).read, run.slices.get().claimed_by) == (7, "slow")
        assert quick._part is None
        slow._batch(7)
        assert tally_of(run).read == 14
        assert_adds_up(run)

    def test_one_whose_run_was_gone_on_with_by_others_has_no_claim_any_more(
        self, adapter: DatabaseAdapter
    ) -> None:
        run = begun(adapter)
        before = worker_of(run, adapter, "before")
        assert before._claim()
        runs.go_on(run)
        assert slices.claim(run, "after") is not None

        before._batch(7)

        assert tally_of(run).read == 0
        assert before._part is None

    def test_one_whose_cursor_is_old_does_nothing_though_the_claim_is_its(
        self, adapter: DatabaseAdapter
    ) -> None:
        run = begun(adapter)
        part = slices.claim(run, "twin")
        assert part is not None
        twin = BackfillSlice.objects.select_related("run").get(pk=part.pk)
        records = tuple(next(adapter.scan(batch_size=5)).records)

        def save(which: BackfillSlice) -> Outcome | None:
            chunk = Chunk.of(adapter, records)
            return slices.save_batch(
                which,
                work=lambda: chunk.import_into(worker_of(run, adapter).tiers),
                cursor=records[-1].id,
                is_last=False,
            )

        assert save(part) is not None
        assert save(twin) is None
        assert tally_of(run).read == 5

    def test_no_more_than_allowed_are_at_a_run(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter, workers=3)

        assert slices.claim(run, "a", most=1) is not None
        assert slices.claim(run, "b", most=1) is None
        assert slices.claim(run, "b", most=2) is not None


class TestGoingOn:
    def test_counts_and_cursor_are_saved_with_each_batch(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)

        for number in range(1, 4):
            worker_of(run, adapter, limit=7).work()
            assert tally_of(run).read == 7 * number
            assert runs.decode_key(cursors(run)[0]) == f"ws_mwo5wwds_{7 * number:07}"
            assert_adds_up(run)

    def test_a_batch_that_fails_leaves_nothing(
        self, adapter: DatabaseAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = begun(adapter)
        worker_of(run, adapter, limit=7).work()

        def fail(*_: object) -> None:
            raise OperationalError

        monkeypatch.setattr(slices, "_keep", fail)
        with pytest.raises(OperationalError):
            worker_of(run, adapter).work()
        monkeypatch.undo()

        assert tally_of(run).read == 7
        assert_adds_up(run)
        assert end(run, adapter).read == ROWS
        assert_adds_up(run)

    def test_what_the_database_undid_to_end_a_deadlock_is_done_again(
        self, adapter: DatabaseAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class DeadlockError(OperationalError):
            sqlstate = "40P01"

        run = begun(adapter)
        keep, failures = slices._keep, [DeadlockError(), DeadlockError()]

        def fail_twice(*arguments: Any) -> None:
            if failures:
                raise failures.pop()
            keep(*arguments)

        monkeypatch.setattr(slices, "_keep", fail_twice)
        worker_of(run, adapter).work()

        assert tally_of(run).read == ROWS
        assert_adds_up(run)

    def test_a_store_that_fails_gives_the_claim_back(self, db: None, redis_flush: None) -> None:
        class Failing(InMemoryAdapter):
            def scan(self, *_: Any, **__: Any) -> Any:
                raise SourceUnavailableError

        adapter = Failing(source="memory", rows={"ws_1_a": row(id="ws_1_a")})
        run = begun(adapter)

        with pytest.raises(SourceUnavailableError):
            worker_of(run, adapter).work()

        assert run.slices.get().claimed_by == ""

    def test_a_run_whose_last_worker_died_before_it_said_so_is_finished_by_the_next(
        self, adapter: DatabaseAdapter
    ) -> None:
        run = begun(adapter)
        run.slices.update(is_finished=True)

        end(run, adapter)

        run.refresh_from_db()
        assert (run.state, run.finished_at is None) == ("finished", False)

    def test_the_claims_of_the_dead_keep_nobody_waiting(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        assert slices.claim(run, "dead") is not None

        runs.go_on(run)

        assert slices.claim(run, "another") is not None

    def test_the_first_start_is_remembered(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        started_at = run.started_at

        runs.go_on(run)

        assert started_at is not None
        assert run.started_at == started_at


class TestPause:
    def test_workers_stop_after_their_batch_and_go_on_later(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        told: list[int] = []

        def pause_at(number: int) -> None:
            told.append(number)
            if sum(told) == 21:
                runs.pause(run)

        worker_of(run, adapter, advance=pause_at).work()

        run.refresh_from_db()
        assert (run.state, sum(told), tally_of(run).read) == ("paused", 21, 21)
        assert slices.claim(run, "eager") is None
        runs.go_on(run)
        assert end(run, adapter).read == ROWS
        assert_adds_up(run)

    def test_a_run_that_is_over_stays_over(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        end(run, adapter)

        runs.pause(run)
        runs.go_on(run)

        assert run.state == "finished"

    def test_an_abandoned_run_is_left_by_its_workers(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        worker = worker_of(run, adapter, advance=lambda _: runs.abandon(run, reason="enough"))

        worker.work()

        run.refresh_from_db()
        assert (run.state, run.problem, tally_of(run).read) == ("failed", "enough", 7)
        assert begun(adapter).pk != run.pk


def test_one_run_of_a_source_at_a_time(adapter: DatabaseAdapter) -> None:
    run = begun(adapter)
    worker_of(run, adapter, limit=7).work()

    with pytest.raises(OpenRunError, match=rf"backfill {run.pk} of database.* 7 of about 60 .*"):
        runs.begin(adapter, batch_size=7)

    assert runs.begin(InMemoryAdapter(source="another"), batch_size=7).source == "another"


class TestSince:
    def test_only_what_was_changed_then_or_later(self, adapter: DatabaseAdapter) -> None:
        changed = "2026-11-20T12:00:00+00:00"
        put(adapter.table, row(id="ws_mwo5wwds_0000002", updated_at=changed))
        since = datetime.fromisoformat(changed)

        run = begun(adapter, since=since)

        assert run.total == 1
        assert end(run, adapter).read == 1
        assert ImportRecord.objects.get().session_id == "ws_mwo5wwds_0000002"

    def test_the_last_one_that_finished_less_the_overlap(self, adapter: DatabaseAdapter) -> None:
        assert runs.since_last("database") is None
        first = begun(adapter)
        assert runs.since_last("database") is None
        end(first, adapter)
        abandoned = begun(adapter)
        runs.abandon(abandoned, reason="")

        assert runs.since_last("database") == first.created_at - timedelta(minutes=10)
        assert runs.since_last("another") is None

    def test_one_that_left_a_gap_before_it_does_not_count(self, adapter: DatabaseAdapter) -> None:
        def finished(since: datetime | None) -> datetime:
            run = begun(adapter, since=since)
            end(run, adapter)
            return run.created_at

        began = finished(None)
        finished(began)
        assert runs.since_last("database") == began - runs.OVERLAP
        finished(datetime.now(UTC))
        assert runs.since_last("database") == began - runs.OVERLAP

        caught_up = finished(runs.since_last("database"))

        assert runs.since_last("database") == caught_up - runs.OVERLAP

    def test_a_catch_up_is_cut_by_what_it_goes_through(self, db: None) -> None:
        class Large(InMemoryAdapter):
            def count(self, *, since: datetime | None = None) -> int:
                return 1_000_000 if since is None else 3

            def boundaries(self, parts: int) -> tuple[str, ...]:
                return tuple(f"{part:03}" for part in range(parts - 1))

        run = runs.begin(Large(source="large"), batch_size=500, since=datetime.now(UTC))

        assert (run.total, run.slices.count()) == (3, 64)


class TestReport:
    def test_every_record_is_counted_once_whatever_became_of_it(
        self, adapter: DatabaseAdapter
    ) -> None:
        manager = UnifiedSessionManager()
        end(begun(adapter), adapter)
        manager.update_session("ws_mwo5wwds_0000001", {"email": "here@example.org"})
        put(adapter.table, row(id="ws_mwo5wwds_0000001", email="there@example.org"))
        put(adapter.table, row(id="ws_mwo5wwds_0000002", email="new@example.org"))
        manager.delete_session("ws_mwo5wwds_0000003")
        put(adapter.table, row(id="ws_mwo5wwds_0000003", email="changed@example.org"))

        report = end(begun(adapter, workers=3), adapter)

        tally = report.tally
        assert tally.read == ROWS
        assert (tally.conflicting, tally.unreadable) == (1, ROWS // 7)
        assert tally.imported + tally.merged == 1
        assert [(each.id, each.fields) for each in report.conflicts] == [
            ("ws_mwo5wwds_0000001", ("email",))
        ]
        assert UnifiedSession.objects.get(pk="ws_mwo5wwds_0000003").deleted_at is not None

    def test_a_resumed_run_names_what_it_found_before(self, adapter: DatabaseAdapter) -> None:
        run = begun(adapter)
        worker_of(run, adapter, limit=14).work()

        report = end(run, adapter)

        assert [each.id for each in report.unreadable] == [
            f"ws_mwo5wwds_{7 * number:07}" for number in range(1, ROWS // 7 + 1)
        ]
        assert {each.reason for each in report.unreadable} == {"email has no @"}

    def test_beyond_so_many_it_counts_and_names_no_more(
        self, adapter: DatabaseAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slices, "MOST_FINDINGS", 5)

        report = end(begun(adapter, batch_size=30), adapter)

        assert (report.tally.unreadable, len(report.unreadable)) == (ROWS // 7, 5)
        assert BackfillFinding.objects.count() == 5

    def test_so_does_one_without_a_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reporting, "MOST_FINDINGS", 1)
        report = Report()
        found = reporting.Finding(kind="unreadable", id="a", detail="x")

        report.add(reporting.Tally(unreadable=2), [found, found])

        assert (report.read, len(report.unreadable)) == (2, 1)


def test_a_throttle_is_spent_by_what_was_read(adapter: DatabaseAdapter) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    throttle = Throttle(10, monotonic=lambda: now, sleep=sleep)
    pacer = working_pacer(throttle)

    worker_of(begun(adapter), adapter, throttle=throttle, pacer=pacer).work()

    assert now == pytest.approx(ROWS / 10)


def working_pacer(throttle: Throttle) -> Any:
    """Return sizes as `backfill_pacer` yields them, by a clock of the test."""

    class Sizes:
        ended_by = None

        def sizes(self) -> Any:
            while True:
                throttle.wait()
                yield throttle.most

    return Sizes()


def test_the_ends_of_a_worker_are_told(adapter: DatabaseAdapter) -> None:
    assert working.WorkEnding.__args__ == ("done", "limit")
    run = begun(adapter)

    assert worker_of(run, adapter, limit=7).work() == "limit"
    assert worker_of(run, adapter).work() == "done"

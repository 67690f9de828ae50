"""Reads compared with the other side, off the request's path: what is found, and what it costs."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration import marks
from legacy_adapters.migration.parity import comparing, flushing, watching
from legacy_adapters.migration.parity import inbox as inboxes
from legacy_adapters.migration.parity import pool as pool_of_threads
from legacy_adapters.migration.parity.comparing import look_at
from legacy_adapters.migration.parity.flushing import write
from legacy_adapters.migration.parity.histograms import added
from legacy_adapters.migration.parity.pool import Job, ShadowPool, flush, get_pool
from legacy_adapters.migration.parity.tallies import Ledger, Outcome, Read, Where
from legacy_adapters.migration.parity.watching import note_read, note_write
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.models import ParityFinding, ParityMinute, SessionConflict
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.tiers import get_tiers
from tests.charges import paid, session_of, start
from tests.legacy import put, row
from tests.managing import wait_for
from tests.migrating import migrating_shop, table, to_stage
from tests.parity import FAST, change_here, read, totals, wait_for_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

# Where nothing is done by threads, one transaction is enough, and quicker.
alone = pytest.mark.django_db(transaction=False)

WHERE = Where("session.detail", Stage.LIVE, 1)
NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        settings.MIGRATION = FAST
        yield


@contextmanager
def locked_table() -> Iterator[None]:
    """Have the legacy table answer nobody."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {table().table.quoted}")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other.close()


def second_look() -> None:
    """Take the second look that waits, now."""
    pool = get_pool()
    wait_for(lambda: pool._later)
    pool._compare(pool._later.popleft()[1])


# What is compared, and how it comes out


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_sides_that_agree_are_counted(stage: Stage) -> None:
    to_stage(stage)
    session_id = paid()

    for _ in range(3):
        read(session_id)

    found = wait_for_counts(compared=3)
    assert found == {"compared": 3, "agreed": 3, "reads": 3}
    minutes = ParityMinute.objects.all()  # more than one, where a minute ends meanwhile
    assert {(each.endpoint, each.stage) for each in minutes} == {("session.detail", stage)}
    assert sum(added(*(each.legacy_ms for each in minutes)).values()) == 3
    assert sum(added(*(each.unified_ms for each in minutes)).values()) == 3
    assert not ParityFinding.objects.exists()


def test_what_was_written_is_compared_and_counts_as_no_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage("shadow")
    session_id = start()

    for stage in (Stage.DUAL_WRITE, Stage.SHADOW, Stage.RAMP_DOWN):
        note_write("checkout.process", stage, session_id)
    note_write("a.task", Stage.SHADOW, session_id)

    assert wait_for_counts(compared=1) == {"compared": 1, "agreed": 1}
    assert {each.endpoint for each in ParityMinute.objects.all()} == {"checkout.process"}
    monkeypatch.setattr(watching, "get_pool", lambda: 1 / 0)
    note_write("checkout.process", Stage.SHADOW, session_id)


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE, Stage.RAMP_DOWN, Stage.COMPLETE])
def test_at_other_stages_nothing_is_compared(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()

    read(session_id)

    assert not len(get_pool()._inbox)
    assert totals() == ({"reads": 1} if stage is Stage.RAMP_DOWN else {})


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_a_difference_that_stays_is_confirmed_with_redacted_evidence(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()
    change_here(session_id, email="eva@example.org", amount="1.00")

    read(session_id)
    read(session_id)

    assert wait_for_counts(confirmed=2) == {"compared": 2, "confirmed": 2, "reads": 2}
    # The pool's own thread may have written the counts, and not yet what was found.
    wait_for(lambda: ParityFinding.objects.filter(times=2))
    finding = ParityFinding.objects.get()
    assert (finding.session_id, finding.endpoint, finding.stage) == (
        session_id,
        "session.detail",
        stage,
    )
    assert (finding.fields, finding.times) == (["email", "amount"], 2)
    assert "eva@example.org" not in str(finding.evidence)
    assert finding.evidence[1]["unified"] == "1.00"
    assert added(*(each.fields for each in ParityMinute.objects.all())) == {"email": 2, "amount": 2}


def test_a_difference_that_goes_is_transient(settings: SettingsWrapper) -> None:
    settings.MIGRATION = {**FAST, "RECHECK_SECONDS": 60}
    to_stage("shadow")
    session_id = start()
    before = session_of(session_id).email
    change_here(session_id, email="eva@example.org")
    read(session_id)
    wait_for(lambda: get_pool()._later)
    assert "compared" not in totals()

    change_here(session_id, email=before)
    second_look()

    found = totals()
    assert (found["compared"], found["transient"]) == (1, 1)
    assert not ParityFinding.objects.exists()


@alone
def test_a_session_with_a_write_under_way_is_not_compared() -> None:
    to_stage("shadow")
    session_id = start()
    change_here(session_id, email="eva@example.org")
    tiers = get_tiers()
    marks.put(tiers.database, session_id, Side.LEGACY, get_clock().now())

    assert looked(session_id) is None
    get_pool()._compare(Job(WHERE, session_id, time.monotonic()))

    assert totals() == {}
    assert not ParityMinute.objects.exists()


def looked(session_id: str) -> Any:
    database, now = get_tiers().database, get_clock().now()
    (look,) = look_at(database, [session_id], now=now, seconds=1).values()
    return look


@alone
def test_a_session_that_one_side_lacks_differs_in_existence() -> None:
    to_stage("shadow")
    session_id = start()
    put(table().table, row(id="ws_mwo5wwds_only"))
    there = looked("ws_mwo5wwds_only")
    table().delete(session_id)
    here = looked(session_id)
    get_manager().delete_session(start())

    assert (there.fields, here.fields) == (("existence",), ("existence",))
    assert there.evidence[0]["legacy"] == {"database": "present"}
    assert (there.evidence[0]["unified"], here.evidence[0]["unified"]) == (None, "present")
    assert looked("ws_mwo5wwds_nobody") is None


def test_a_tombstone_agrees_with_nothing_and_with_nothing_else() -> None:
    to_stage("live")
    session_id = start()
    get_manager("session.detail").delete_session(session_id)

    assert looked(session_id).fields == ()
    put(table().table, row(id=session_id))
    assert looked(session_id).evidence[0]["unified"] == "deleted"


@alone
def test_a_session_that_the_old_code_ended_agrees_with_ours_before_the_sweep() -> None:
    to_stage("shadow")
    session_id = start()
    ended = "2026-01-01T00:00:00+00:00"
    there = table().table
    with there.connection.cursor() as cursor:
        cursor.execute(
            there.statement("UPDATE {} SET status = 'expired', expires_at = %s"), [ended]
        )
    assert looked(session_id).fields == ("status",)

    change_here(session_id, expires_at=ended)

    assert looked(session_id).fields == ()


@alone
def test_a_record_that_nobody_can_read_is_none() -> None:
    to_stage("shadow")
    session_id = start()
    put(table().table, row(id="ws_mwo5wwds_bad", created_at=None))
    with table().table.connection.cursor() as cursor:
        cursor.execute("UPDATE funnel_sessions SET created_at = NULL")

    assert looked("ws_mwo5wwds_bad") is None
    assert looked(session_id).fields == ("existence",)


@alone
def test_what_a_person_has_decided_is_no_difference_while_the_record_stays() -> None:
    to_stage("shadow")
    session_id = start()
    change_here(session_id, email="eva@example.org")
    record = table().peek(session_id)
    assert record is not None
    conflict = SessionConflict.objects.create(
        source="database",
        session_id=session_id,
        digest=record.digest,
        fields=["email"],
        state="kept",
        seen_at=get_clock().now(),
    )
    assert looked(session_id).fields == ()

    SessionConflict.objects.filter(pk=conflict.pk).update(state="open")
    assert looked(session_id).fields == ("email",)
    SessionConflict.objects.filter(pk=conflict.pk).update(state="kept", digest="another")
    assert looked(session_id).fields == ("email",)
    SessionConflict.objects.filter(pk=conflict.pk).update(digest=record.digest)
    change_here(session_id, amount="1.00")
    assert looked(session_id).fields == ("email", "amount")


def test_a_session_that_nobody_has_is_not_counted_as_agreeing() -> None:
    to_stage("shadow")

    with pytest.raises(SessionNotFoundError):
        read("ws_mwo5wwds_nobody")
    get_pool()._compare(Job(WHERE, "ws_mwo5wwds_nobody", time.monotonic()))

    wait_for(lambda: not len(get_pool()._inbox))
    assert "compared" not in totals()


# What it costs the shopper: nothing


def test_r44_a_legacy_side_that_hangs_holds_no_reply_up(settings: SettingsWrapper) -> None:
    adapters = settings.LEGACY_ADAPTERS
    settings.LEGACY_ADAPTERS = adapters | {
        "database": adapters["database"] | {"TIMEOUT_SECONDS": 1.0}
    }
    to_stage("live")
    session_id = start()
    read(session_id)

    with locked_table():
        spent = []
        for _ in range(20):
            began = time.monotonic()
            assert read(session_id).email == "ana@example.org"
            spent.append(time.monotonic() - began)
        found = wait_for_counts(failed=2)

    assert max(spent) < 0.8  # one that had waited for the table would have taken a second
    assert found.get("errors", 0) == 0
    assert "confirmed" not in found


def test_r44_a_legacy_side_that_is_gone_changes_no_reply() -> None:
    to_stage("live")
    session_id = start()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions RENAME TO funnel_sessions_gone")
    try:
        assert read(session_id).email == "ana@example.org"
        assert wait_for_counts(failed=1) == {"failed": 1, "reads": 1}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_sessions_gone RENAME TO funnel_sessions")


def test_what_fails_in_the_shadow_opens_no_breaker_of_the_shoppers(
    settings: SettingsWrapper,
) -> None:
    settings.MIGRATION = {**FAST, "SHADOW_DEADLINE_SECONDS": 0.000_001}
    pool = get_pool()
    to_stage("live")
    session_id = start()

    for _ in range(10):
        pool._compare(Job(WHERE, session_id, time.monotonic(), is_second_look=True))

    assert totals()["failed"] == 10
    assert pool.database.breaker is not get_tiers().database.breaker
    assert not get_tiers().database.breaker.is_open
    assert read(session_id).id == session_id


def test_a_full_queue_and_a_late_job_are_shed(settings: SettingsWrapper) -> None:
    to_stage("live")
    session_id = start()
    settings.MIGRATION = {**FAST, "SHADOW_QUEUE": 0}
    read(session_id)

    get_pool()._compare(Job(WHERE, session_id, time.monotonic() - 2.5))

    assert totals() == {"shed": 2, "reads": 1}


def test_differences_that_cannot_wait_for_their_second_look_are_shed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_of_threads, "_MOST_SECOND_LOOKS", 0)
    to_stage("live")
    session_id = start()
    change_here(session_id, email="eva@example.org")

    read(session_id)

    assert wait_for_counts(shed=1) == {"shed": 1, "reads": 1}


def test_a_thread_rests_longer_than_it_computes() -> None:
    to_stage("live")
    session_id = start()
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if pool.ledger.outcomes:
            pool._inbox.stop()

    pool = ShadowPool(wait=wait)
    pool._inbox.put(Job(WHERE, session_id, time.monotonic()))

    began = time.thread_time()
    pool._work()
    computed = time.thread_time() - began

    _, rested, _ = waited
    assert rested > computed
    assert [each.result for each in pool.ledger.outcomes] == ["agreed"]


def test_a_thread_outlives_what_nobody_foresaw(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = ShadowPool(wait=lambda _: None)
    pool._inbox.put(Job(WHERE, "ws_1", time.monotonic()))

    def fail() -> str:
        pool._inbox.stop()
        raise ZeroDivisionError

    monkeypatch.setattr(pool_of_threads, "primary_name", fail)

    pool._work()

    assert [each.result for each in pool.ledger.outcomes] == ["failed"]
    assert [each.message for each in caplog.records] == ["Sessions could not be compared"]


def test_what_is_gathered_is_compared_in_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    to_stage("live")
    first, second = start(), start()
    change_here(second, email="eva@example.org")
    looks = counted_looks(monkeypatch)

    get_pool()._compare(*jobs(first, second, first), late(first))

    assert looks == [[first, second]]
    assert totals() == {"compared": 2, "agreed": 2, "shed": 1}
    assert [job.session_id for _, job in get_pool()._later] == [second]


def test_a_store_that_is_asked_for_one_at_a_time_is_looked_at_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DatabaseAdapter, "supports_peek_many", False)
    to_stage("live")
    first, second = start(), start()
    looks = counted_looks(monkeypatch)

    get_pool()._compare(*jobs(first, second))

    assert looks == [[first], [second]]
    assert totals() == {"compared": 2, "agreed": 2}


def test_a_look_at_many_sessions_is_one_question_a_side() -> None:
    to_stage("live")
    wanted = [start() for _ in range(5)]

    with CaptureQueriesContext(connection) as asked:
        looks = look_at(get_tiers().database, wanted, now=get_clock().now(), seconds=1)

    assert list(looks) == wanted
    asking = [each["sql"] for each in asked if "set_config" not in each["sql"]]
    assert len([sql for sql in asking if wanted[0] in sql]) == 2


def test_what_cannot_be_compared_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    to_stage("live")
    first, odd, second = start(), start(), start()
    differences = comparing._differences

    def fail_at_odd(adapter: Any, record: Any, *rest: Any) -> Any:
        return 1 / 0 if record.id == odd else differences(adapter, record, *rest)

    monkeypatch.setattr(comparing, "_differences", fail_at_odd)
    get_pool()._compare(*jobs(first, odd, "ws_\x00", second))

    results = {each.session_id: each.result for each in get_pool().ledger.outcomes}
    assert results == {first: "agreed", odd: "failed", "ws_\x00": "skipped", second: "agreed"}
    assert [each.message for each in caplog.records] == ["A session could not be compared"]


def test_a_store_that_does_not_answer_is_not_asked_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage("live")
    first, second = start(), start()
    looks = counted_looks(monkeypatch)

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions RENAME TO funnel_sessions_gone")
    try:
        get_pool()._compare(*jobs(first, second))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_sessions_gone RENAME TO funnel_sessions")

    assert looks == [[first, second]]
    assert totals() == {"failed": 2}


def jobs(*session_ids: str) -> list[Job]:
    return [Job(WHERE, each, time.monotonic()) for each in session_ids]


def late(session_id: str) -> Job:
    return Job(WHERE, session_id, time.monotonic() - 2.5)


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the ids that each look from now on is asked for."""
    looks: list[list[str]] = []

    def look(database: Any, session_ids: Any, **options: Any) -> Any:
        looks.append(list(session_ids))
        return look_at(database, session_ids, **options)

    monkeypatch.setattr(pool_of_threads, "look_at", look)
    return looks


def test_second_looks_are_not_shed_for_being_late() -> None:
    to_stage("live")
    session_id = start()

    get_pool()._compare(Job(WHERE, session_id, time.monotonic() - 99, is_second_look=True))

    assert totals() == {"compared": 1, "transient": 1}


def test_a_part_of_the_reads_is_compared(settings: SettingsWrapper) -> None:
    to_stage("live")
    session_id = start()

    settings.MIGRATION = {**FAST, "SHADOW_SAMPLE": 0}
    read(session_id)
    settings.MIGRATION = {**FAST, "SHADOW_THREADS": 0}
    read(session_id)

    assert not len(get_pool()._inbox)
    assert totals() == {"reads": 1}


def test_noting_asks_nobody_and_never_raises(
    django_assert_num_queries: Any, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MIGRATION = {**FAST, "SHADOW_QUEUE": 0}
    with django_assert_num_queries(0):
        note_read("session.detail", Stage.LIVE, "ws_1", seconds=0.001)
        began = time.thread_time()  # what the machine does beside it is left out
        for _ in range(2_000):
            note_read("session.detail", Stage.LIVE, "ws_1", seconds=0.001)
        seconds = (time.thread_time() - began) / 2_000
    note_read("a.task", Stage.LIVE, "ws_1", seconds=0.001)
    monkeypatch.setattr(watching, "get_pool", lambda: 1 / 0)
    note_read("session.detail", Stage.LIVE, "ws_1", seconds=0.001)

    assert seconds < 0.000_5
    assert totals() == {"reads": 2_001, "shed": 2_001}


def test_threads_are_as_many_as_set_and_give_their_connections_back() -> None:
    to_stage("live")
    session_id = start()
    for _ in range(5):
        read(session_id)
    wait_for_counts(agreed=5)

    names = [each.name for each in threading.enumerate()]
    assert names.count("legacy-shadow") == 3
    pool = connections["default"].pool  # type: ignore[attr-defined]

    def is_back() -> bool:
        found = pool.get_stats()
        return bool(found["pool_size"] - found["pool_available"] <= 1)  # this test's own

    wait_for(is_back)


def test_a_thread_that_gathers_or_rests_goes_home_at_once(
    monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper
) -> None:
    settings.MIGRATION = {**FAST, "SHADOW_DEADLINE_SECONDS": 1_000}
    monkeypatch.setattr(inboxes, "_GATHER_SECONDS", 500)
    to_stage("live")
    read(start())
    pool = get_pool()
    wait_for(lambda: not len(pool._inbox))

    pool.stop(seconds=5)

    assert not any(each.is_alive() for each in pool._threads)


def test_a_child_after_fork_has_threads_and_counts_of_its_own() -> None:
    note_read("session.detail", Stage.RAMP_DOWN, "ws_1", seconds=0.001)
    parent = get_pool()

    child = os.fork()
    if child == 0:
        is_new = get_pool() is not parent and not get_pool()._threads
        os._exit(0 if is_new and not get_pool().ledger.reads else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


# What is written


@alone
def test_what_several_processes_counted_is_added() -> None:
    database = get_tiers().database
    look = looked_like(fields=("email",))
    for _ in range(2):
        ledger = Ledger()
        ledger.reads.append(Read(WHERE, 0.003, failed=True))
        ledger.reads.append(Read(WHERE._replace(stage=Stage.SHADOW), 0.003, failed=True))
        ledger.outcomes.append(Outcome(WHERE, "confirmed", "ws_1", look))
        ledger.outcomes.append(Outcome(WHERE, "agreed", "ws_2", looked_like()))
        ledger.outcomes.append(Outcome(WHERE, "skipped"))
        write(database, ledger.take(NOW))

    live, shadow = ParityMinute.objects.order_by("stage")
    assert live.minute == NOW.replace(second=0)
    assert (live.compared, live.agreed, live.confirmed) == (4, 2, 2)
    assert (live.reads, live.errors, shadow.reads, shadow.errors) == (2, 2, 2, 0)
    assert (live.legacy_ms, live.unified_ms, live.fields) == ({"5": 4}, {"50": 4}, {"email": 2})
    assert (live.served_ms, shadow.served_ms) == ({"5": 2}, {"5": 2})  # failed ones too
    finding = ParityFinding.objects.get()
    assert (finding.times, finding.first_seen_at) == (2, NOW)


def looked_like(*, fields: tuple[str, ...] = ()) -> Any:
    from legacy_adapters.migration.parity.comparing import Look

    return Look(fields=fields, evidence=(), legacy_seconds=0.004, unified_seconds=0.03)


def test_what_the_database_refuses_is_kept_for_later() -> None:
    pool = get_pool()
    pool.ledger.outcomes.append(Outcome(WHERE, "confirmed", "ws_1", looked_like(fields=("email",))))
    for _ in range(10):
        pool.database.breaker.failed()
    assert not flush()
    assert not ParityMinute.objects.exists()

    pool.database.breaker.succeeded()
    pool.ledger.outcomes.append(Outcome(WHERE, "agreed", "ws_1", looked_like()))

    assert flush()
    assert totals() == {"compared": 2, "agreed": 1, "confirmed": 1}
    assert ParityFinding.objects.count() == 1
    assert not flush()


def test_the_last_counts_are_written_while_the_process_ends() -> None:
    note_read("session.detail", Stage.RAMP_DOWN, "ws_1", seconds=0.001)
    pool = get_pool()

    pool.stop(seconds=5, flushes=True)

    assert ParityMinute.objects.get().reads == 1
    assert not any(each.is_alive() for each in pool._threads)


def test_what_was_written_is_not_written_again_with_the_rest() -> None:
    outcome = Outcome(WHERE, "confirmed", "ws_1", looked_like(fields=("email",)))
    get_pool().ledger.outcomes.append(outcome)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE legacy_adapters_parityfinding RENAME TO gone")
    try:
        assert not flush()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO legacy_adapters_parityfinding")

    assert totals() == {"compared": 1, "confirmed": 1}
    assert ParityFinding.objects.get().times == 1


@alone
def test_only_the_newest_findings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "MOST_FINDINGS", 2)
    for number in range(3):
        ledger = Ledger()
        ledger.outcomes.append(
            Outcome(WHERE, "confirmed", f"ws_{number}", looked_like(fields=("email",)))
        )
        write(get_tiers().database, ledger.take(NOW.replace(minute=number)))

    kept = ParityFinding.objects.order_by("session_id").values_list("session_id", flat=True)
    assert list(kept) == ["ws_1", "ws_2"]

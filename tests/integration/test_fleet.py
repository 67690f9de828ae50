"""Processes that follow the stages by themselves, say what they have seen, and take it back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.migration import fleet
from legacy_adapters.migration.stages import following, store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.following import Follower
from legacy_adapters.migration.stages.moving import move
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import ProcessReport, StageChange
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.tiers import get_tiers
from tests.migrating import migrating_shop
from tests.operators import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db(transaction=True)

DETAIL = Endpoint.DETAIL


@pytest.fixture(autouse=True)
def shop(transactional_db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0.02, "PROCESS_TIMEOUT_SECONDS": 15}
        yield
        STAGES.forget()


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it never came to hold")


def moved(stage: Stage = Stage.DUAL_WRITE) -> StageChange:
    return move(get_tiers(), DETAIL, stage, actor="tester", reason="a test")


def reported() -> ProcessReport | None:
    return ProcessReport.objects.filter(pk=STAGES.follower.id).first()


def test_a_process_reports_once_it_looks_and_no_sooner() -> None:
    assert not ProcessReport.objects.exists()

    STAGES.view(get_tiers())
    found = until(reported)

    assert found.epoch == 0
    assert found.name == "pytest"
    assert [each.pk for each in fleet.processes(get_tiers())] == [found.pk]
    assert fleet.lagging(get_tiers()) == []


def test_a_move_is_seen_and_acknowledged_without_any_request() -> None:
    STAGES.view(get_tiers())
    until(reported)

    change = moved()

    until(lambda: not fleet.lagging(get_tiers()))
    assert reported().epoch == change.pk  # type: ignore[union-attr]
    assert STAGES.view(get_tiers()).place(DETAIL).stage is Stage.DUAL_WRITE


def test_what_is_reported_is_what_reads_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    STAGES.view(get_tiers())
    until(reported)
    seen: list[tuple[int, int]] = []
    is_due = Follower._is_due

    def note(self: Follower, epoch: int) -> bool:
        seen.append((epoch, STAGES.view(get_tiers()).epoch))
        return is_due(self, epoch)

    monkeypatch.setattr(Follower, "_is_due", note)
    change = moved()
    until(lambda: (change.pk, change.pk) in seen)

    assert all(known >= told for told, known in seen)


def test_a_move_is_reported_as_soon_as_it_is_seen(settings: SettingsWrapper) -> None:
    settings.MIGRATION = settings.MIGRATION | {"PROCESS_TIMEOUT_SECONDS": 3600}
    STAGES.view(get_tiers())
    until(reported)

    moved()

    until(lambda: not fleet.lagging(get_tiers()))


def test_what_a_slower_thread_has_read_is_not_gone_back_to(monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.read(get_tiers().database)
    change = moved()
    STAGES.refresh(get_tiers())
    monkeypatch.setattr(store, "read", lambda _: before)

    assert STAGES.refresh(get_tiers()).epoch == STAGES.epoch == change.pk


def test_requests_that_look_for_themselves_do_so_once_a_while(
    monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper
) -> None:
    settings.MIGRATION = settings.MIGRATION | {"STAGE_CACHE_SECONDS": 60}
    monkeypatch.setattr(Follower, "start", lambda *_: None)
    monkeypatch.setattr(Follower, "is_well", False)
    STAGES.view(get_tiers())
    looks: list[object] = []
    monkeypatch.setattr(store, "read", looks.append)

    STAGES.view(get_tiers())
    assert looks == []

    def fail(database: object) -> None:
        looks.append(database)
        raise DatabaseUnavailableError

    monkeypatch.setattr(store, "read", fail)
    STAGES._read_at -= 61
    views = {STAGES.view(get_tiers()).epoch for _ in range(3)}
    assert (views, len(looks)) == ({0}, 1)


def test_requests_look_for_nothing_while_the_thread_is_well(
    settings: SettingsWrapper, django_assert_num_queries: Any
) -> None:
    STAGES.view(get_tiers())
    until(reported)
    STAGES._read_at = 0

    with django_assert_num_queries(0):
        STAGES.view(get_tiers())


def test_requests_look_for_themselves_where_the_thread_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(Follower, "turn", lambda *_: let_go.wait(60))
    monkeypatch.setattr(following, "_HUNG_SECONDS", 0.0)
    STAGES.view(get_tiers())
    moved()

    try:
        until(lambda: STAGES.view(get_tiers()).place(DETAIL).stage is Stage.DUAL_WRITE)
    finally:
        let_go.set()


def test_a_turn_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, turns = Follower.turn, []

    def fail_first(self: Follower, tiers: Any) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise RuntimeError
        turn(self, tiers)

    monkeypatch.setattr(Follower, "turn", fail_first)
    STAGES.view(get_tiers())

    assert until(reported)


def test_with_the_database_away_what_was_seen_stands() -> None:
    STAGES.view(get_tiers())
    until(reported)
    breaker = get_tiers().database.breaker
    while not breaker.is_open:
        breaker.failed()

    time.sleep(0.1)  # some turns
    view, is_well = STAGES.view(get_tiers()), STAGES.follower.is_well
    breaker.succeeded()

    assert view.epoch == 0
    assert is_well


def test_nothing_runs_where_nothing_is_cached(settings: SettingsWrapper) -> None:
    settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0}

    STAGES.view(get_tiers())
    moved()

    assert STAGES.view(get_tiers()).place(DETAIL).stage is Stage.DUAL_WRITE
    assert "legacy-stages" not in {each.name for each in threading.enumerate()}


def test_reports_of_long_ago_are_swept_and_those_of_now_are_repeated(
    settings: SettingsWrapper,
) -> None:
    settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0.02, "PROCESS_TIMEOUT_SECONDS": 0.06}
    gone = report(age_seconds=3700)
    recent = report(age_seconds=3500)

    STAGES.view(get_tiers())
    first = until(reported)

    until(lambda: reported().reported_at > first.reported_at)  # type: ignore[union-attr]
    assert not ProcessReport.objects.filter(pk=gone.pk).exists()
    assert ProcessReport.objects.filter(pk=recent.pk).exists()


def test_a_process_counts_until_its_time_is_out() -> None:
    moved()
    report(epoch=0, age_seconds=14)

    assert len(fleet.lagging(get_tiers())) == 1
    ProcessReport.objects.update(reported_at=get_clock().now() - timedelta(seconds=15))
    assert fleet.processes(get_tiers()) == []


def test_the_thread_keeps_no_connection_between_its_turns() -> None:
    from django.db import connection

    STAGES.view(get_tiers())
    until(reported)
    with connection.cursor() as cursor:
        until(lambda: _connections(cursor) == 1 or None)


def _connections(cursor: Any) -> int:
    pool = cursor.db.pool
    if pool is None:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
    found = pool.get_stats()
    return int(found["pool_size"] - found["pool_available"])


PROCESS = """
import os, sys, time
import django
django.setup()
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.models import ProcessReport
from sessions_unified.tiers import get_tiers

def follow():
    STAGES.view(get_tiers())
    ends_at = time.monotonic() + 10
    while not ProcessReport.objects.filter(pid=os.getpid()).exists():
        assert time.monotonic() < ends_at
        time.sleep(0.01)

follow()
connections.close_all()
pools = DatabaseWrapper._connection_pools
child = os.fork()
if child == 0:
    DatabaseWrapper._connection_pools = {}  # the parent's sockets are not to be shared, nor closed
    follow()
    print(ProcessReport.objects.values("pid").distinct().count(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(child, flush=True)
"""


def test_a_child_after_fork_reports_for_itself_and_a_clean_exit_takes_it_back(
    site_env: dict[str, str],
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env=site_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    alive, child = ran.stdout.split()
    assert alive == "2"
    # The child was killed without ado: its report goes out of date. The parent's is gone.
    assert [each.pid for each in ProcessReport.objects.all()] == [int(child)]

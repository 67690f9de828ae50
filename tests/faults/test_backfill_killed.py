"""SIGKILL takes a backfill at any moment, its workers or its parent: resumed, all is there once."""

from __future__ import annotations

import random
import time
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connection

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.backfill.reporting import tally_of
from legacy_adapters.models import BackfillRun
from tests.backfill_processes import Forks, Started, forking
from tests.backfills import assert_adds_up, put_many, readable
from tests.legacy import create_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = 5_000
FEW_ROWS = 1_500
KILLS = 6
SEED = 5


@pytest.fixture
def adapter(transactional_db: None, redis_flush: None) -> Iterator[DatabaseAdapter]:
    adapter = DatabaseAdapter(source="database", alias="default")
    create_table(adapter.table)
    yield adapter
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE funnel_sessions")


@pytest.fixture
def forks(site_env: dict[str, str], tmp_path: Path) -> Iterator[Forks]:
    with forking(site_env, tmp_path) as found:
        yield found


def start(forks: Forks, *arguments: str) -> Started:
    return forks.start("backfill_sessions", "--source=database", "--no-pace", *arguments)


def read() -> int:
    run = BackfillRun.objects.first()
    return 0 if run is None else tally_of(run).read


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def resume() -> str:
    out = StringIO()
    call_command("backfill_sessions", "--no-pace", source="database", resume=True, stdout=out)
    return out.getvalue()


def assert_all_is_there_once(number: int) -> None:
    run = BackfillRun.objects.get()
    tally = tally_of(run)
    assert (run.state, tally.read, tally.imported) == ("finished", number, readable(number))
    assert_adds_up(run)


def test_killed_at_any_moment_nothing_is_lost_or_twice(
    adapter: DatabaseAdapter, forks: Forks
) -> None:
    put_many(adapter.table, ROWS)
    moments = random.Random(SEED)
    before = 0
    for number in range(1, KILLS + 1):
        command = start(forks, "--resume", "--batch-size=20")
        target = ROWS * number // (KILLS + 2)
        wait_until(lambda: read() >= target)  # noqa: B023  (called at once)
        time.sleep(moments.uniform(0, 0.02))
        command.kill()

        assert command.code is None
        assert before < read() < ROWS
        before = read()
        assert_adds_up(BackfillRun.objects.get())

    assert f"Read: {ROWS:,}" in resume()
    assert_all_is_there_once(ROWS)


def test_workers_and_their_parent_are_killed_and_told_to_stop(
    adapter: DatabaseAdapter, forks: Forks
) -> None:
    # At this pace the busiest machine has time enough to kill before the end.
    put_many(adapter.table, FEW_ROWS)
    command = start(forks, "--workers=2", "--throttle=80", "--batch-size=20")
    wait_until(lambda: read() >= 40)
    first, second = command.workers()

    first.kill()
    wait_until(lambda: "was killed; the others go on." in command.told)
    before = read()
    wait_until(lambda: read() > before)
    command.kill()

    wait_until(lambda: not second.is_running())  # it has nobody to report to
    assert 0 < read() < FEW_ROWS
    assert_adds_up(BackfillRun.objects.get())

    before = read()
    command = start(forks, "--resume", "--workers=2")
    wait_until(lambda: read() >= before + 40)
    command.process.terminate()
    command.wait()

    assert command.code == 1
    assert "Stopped before the end" in command.told
    assert "What was imported so far stays; --resume goes on." in command.told
    assert not BackfillRun.objects.get().slices.exclude(claimed_by="")

    command = start(forks, "--resume", "--workers=2", "--throttle=0")
    command.wait()

    assert command.code == 0
    assert f"Read: {FEW_ROWS:,}" in command.told
    assert_all_is_there_once(FEW_ROWS)

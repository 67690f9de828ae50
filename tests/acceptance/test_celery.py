"""The periodic work in a real Celery worker, woken through a real broker."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from funnel.celery import app
from funnel.local import programs
from funnel.local.child import Child
from legacy_adapters.database.store import Table
from legacy_adapters.migration.backfill.reporting import tally_of
from legacy_adapters.models import BackfillRun
from sessions_unified import get_manager
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.backfills import assert_adds_up, put_many
from tests.legacy import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sessions_unified.snapshot import SessionSnapshot


@pytest.fixture
def broker_url() -> str:
    """A Redis database of the worker's own, so that flushing the cache loses no message."""
    return urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path="/9"))


@pytest.fixture
def worker(
    transactional_db: None, site_env: dict[str, str], broker_url: str, tmp_path: Path
) -> Iterator[None]:
    """Run one worker of the site on the test's database."""
    log = tmp_path / "worker.log"
    child = Child(
        name="worker",
        argv=programs.worker(),
        records=tmp_path,
        env={**site_env, "CELERY_BROKER_URL": broker_url},
    )
    with log.open("wb") as output:
        child.start(output=output)
    try:
        yield
    finally:
        child.stop()
        print(log.read_text(errors="replace"))


@contextmanager
def sending_to(broker_url: str) -> Iterator[None]:
    before = app.conf.broker_url
    app.conf.broker_url = broker_url
    try:
        with app.connection_for_write(broker_url):
            yield
    finally:
        app.conf.broker_url = before
        app.pool.force_close_all()


def wake(name: str, broker_url: str) -> None:
    with sending_to(broker_url), app.connection_for_write(broker_url) as connection:
        app.send_task(name, connection=connection)


def wait_for_status(session: SessionSnapshot, status: str) -> None:
    deadline = time.monotonic() + 30
    while UnifiedSession.objects.get(pk=session.id).status != status:
        assert time.monotonic() < deadline, "the worker did not do it in time"
        time.sleep(0.1)


def age(session: SessionSnapshot, by: timedelta) -> None:
    UnifiedSession.objects.filter(pk=session.id).update(
        created_at=session.created_at - by,
        updated_at=session.updated_at - by,
        expires_at=session.expires_at - by,
    )


@pytest.mark.usefixtures("worker")
def test_a_worker_expires_due_sessions_and_a_second_wake_changes_nothing(broker_url: str) -> None:
    due = get_manager().create_session(email="ana@example.org")
    young = get_manager().create_session(email="bo@example.org")
    age(due, timedelta(days=2))

    wake("sessions_unified.expire_due_sessions", broker_url)
    wake("sessions_unified.expire_due_sessions", broker_url)
    wait_for_status(due, "expired")
    wake("sessions_unified.purge_finished_sessions", broker_url)
    time.sleep(0.5)  # nothing else to poll: the purge must leave everything as it is

    kinds = SessionEvent.objects.filter(session_id=due.id).values_list("kind", flat=True)
    assert list(kinds.order_by("seq")) == ["session_created", "session_expired"]
    assert UnifiedSession.objects.get(pk=young.id).status == "pending"
    assert UnifiedSession.objects.get(pk=due.id).deleted_at is None


@pytest.fixture
def legacy_rows(transactional_db: None) -> Iterator[int]:
    """Return how many sessions the old shop's table has."""
    table = Table(alias="default", name="funnel_sessions")
    create_table(table)
    put_many(table, 500)
    yield 500
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE funnel_sessions")


@pytest.mark.usefixtures("worker")
def test_a_worker_carries_a_backfill_through_that_an_operator_left_to_it(
    broker_url: str, legacy_rows: int
) -> None:
    with sending_to(broker_url):
        call_command("backfill_sessions", "--source=database", "--background", "--batch-size=100")

    deadline = time.monotonic() + 30
    while (run := BackfillRun.objects.get()).state != "finished":
        assert time.monotonic() < deadline, f"it is {run.state}"
        time.sleep(0.1)
    assert tally_of(run).read == legacy_rows
    assert_adds_up(run)


def test_beat_wakes_only_tasks_that_exist() -> None:
    app.loader.import_default_modules()

    wanted = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert wanted <= set(app.tasks)

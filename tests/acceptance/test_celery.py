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

from funnel.celery import app
from funnel.local import programs
from funnel.local.child import Child
from sessions_unified import get_manager
from sessions_unified.models import SessionEvent, UnifiedSession

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


def test_beat_wakes_only_tasks_that_exist() -> None:
    app.loader.import_default_modules()

    wanted = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert wanted <= set(app.tasks)

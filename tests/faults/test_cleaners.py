"""Two cleaners at once, a cleaner killed half-way, a task delivered twice: one effect each."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from funnel.celery import app
from funnel.local import programs
from funnel.local.child import Child
from sessions_unified import get_manager, tasks, touches
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.fault_site import SHORT, merged, proxy_to, site_environment
from tests.managing import ORDER, paid, wait_for, wait_until_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer

DUE = 80
CLEAN = [sys.executable, "manage.py", "cleanup_sessions", "--no-purge", "--batch-size", "10"]
HOLD = [sys.executable, "manage.py", "cleanup_sessions", "--hold"]
SETTLED = re.compile(r"Settled ([\d,]+)")


def make_due(count: int) -> None:
    """Store sessions that are past their end."""
    for _ in range(count):
        get_manager().create_session(**ORDER)
    at = get_clock().now() - timedelta(minutes=1)
    UnifiedSession.objects.update(expires_at=at)


def check_each_ended_once(count: int) -> None:
    ended = SessionEvent.objects.filter(kind="session_expired").values_list("session_id", flat=True)
    assert UnifiedSession.objects.filter(status="expired", version=2).count() == count
    assert set(Counter(ended).values()) == {1}
    assert len(ended) == count


@pytest.fixture
def slow_database(database_url: str) -> Iterator[FaultProxy]:
    """Return a proxy that leaves a cleaner in the middle of its work for long enough."""
    with proxy_to(database_url) as proxy:
        proxy.delay(0.01)
        proxy.count(b"session_expired")
        yield proxy


@pytest.fixture
def start_cleaner(
    here: None, valkey: OwnServer, database_url: str, slow_database: FaultProxy
) -> Callable[[], subprocess.Popen[str]]:
    """Return a function that starts a process that cleans."""
    env = site_environment(
        redis_url=valkey.url,
        database_url=slow_database.url(database_url),
        settings=SHORT,
        APPLICATION_NAME="a cleaner",
    )

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            CLEAN, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    return start


def settled_by(cleaner: subprocess.Popen[str]) -> int:
    text = cleaner.communicate(timeout=60)[0]
    print(text)
    assert cleaner.returncode == 0
    found = SETTLED.search(text)
    return int(found[1]) if found else 0


def test_r24_of_two_cleaners_at_once_one_ends_each_session(
    slow_database: FaultProxy, start_cleaner: Callable[[], subprocess.Popen[str]]
) -> None:
    make_due(DUE)
    slow_database.hang()
    cleaners = [start_cleaner(), start_cleaner()]
    wait_for(lambda: slow_database.connections >= 2, seconds=30)
    slow_database.delay(0.01)

    settled = [settled_by(cleaner) for cleaner in cleaners]

    # They share the work, or one of them leaves it to the other.
    assert sum(settled) == DUE
    check_each_ended_once(DUE)


@pytest.fixture
def hold(
    here: None, valkey: OwnServer, database_url: str
) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return a function that starts a process that holds all cleaning, and waits until it does."""
    env = site_environment(redis_url=valkey.url, database_url=database_url, settings=SHORT)
    with ExitStack() as stack:

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(HOLD, env=env, text=True, stdout=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert "on hold" in process.stdout.readline()
            return process

        yield start


@pytest.mark.parametrize("task", [tasks.flush_pending_touches, tasks.expire_due_sessions])
def test_r24_a_hold_keeps_sessions_and_no_touch(
    hold: Callable[[], subprocess.Popen[str]], task: Callable[[], int]
) -> None:
    manager = get_manager()
    touched, left = (paid(manager, manager.create_session(**ORDER)) for _ in range(2))
    now = get_clock().now()
    long_ago = now - timedelta(hours=1)
    UnifiedSession.objects.update(expires_at=now - timedelta(minutes=1), last_seen_at=long_ago)
    touches.touch(get_tiers(), touched.id, now)

    holding = hold()
    task()
    seen = {each.pk: (each.last_seen_at, each.status) for each in UnifiedSession.objects.all()}
    holding.send_signal(signal.SIGINT)
    said = holding.communicate(timeout=30)[0]
    settled = tasks.expire_due_sessions()

    assert seen == {touched.id: (now, "processing"), left.id: (long_ago, "processing")}
    assert touches.pending_touch(get_tiers(), touched.id) is None
    assert (holding.returncode, said) == (0, "Cleaning goes on.\n")
    assert settled == 1
    assert UnifiedSession.objects.get(pk=left.id).status == "completed"
    assert UnifiedSession.objects.get(pk=touched.id).status == "processing"


@pytest.mark.soak
def test_r24_a_cleaner_killed_at_work_and_started_again_ends_each_session_once(
    slow_database: FaultProxy, start_cleaner: Callable[[], subprocess.Popen[str]]
) -> None:
    make_due(DUE)
    with start_cleaner() as killed:
        wait_for(lambda: slow_database.heard >= 3, seconds=30)
        killed.kill()
    slow_database.pass_on()
    wait_until_left("a cleaner")  # with its locks

    rest = settled_by(start_cleaner())

    assert 0 < rest < DUE
    check_each_ended_once(DUE)


@pytest.mark.soak
def test_r24_a_task_whose_worker_was_killed_is_delivered_again_and_acts_once(
    here: None, valkey: OwnServer, database_url: str, tmp_path: Path
) -> None:
    make_due(DUE)
    broker = valkey.url.removesuffix("/0") + "/9"
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_to(database_url))
        queue = stack.enter_context(redis.Redis.from_url(broker))
        env = site_environment(
            redis_url=valkey.url,
            database_url=proxy.url(database_url),
            settings=merged(SHORT, {"BROKER": {"visibility_timeout": 2}}),
            CELERY_BROKER_URL=broker,
            LOG_LEVEL="INFO",
        )

        def start(name: str) -> Child:
            child = Child(name=name, argv=programs.worker(), records=tmp_path, env=env)
            log = tmp_path / f"{name}.log"
            stack.callback(lambda: print(log.read_text()))
            stack.callback(child.stop)
            with log.open("wb") as output:
                child.start(output=output)
            return child

        proxy.count(b"session_expired")
        proxy.delay(0.05)
        first = start("first")
        with app.connection_for_write(broker) as connection:
            app.send_task("sessions_unified.expire_due_sessions", connection=connection)
        app.pool.force_close_all()
        wait_for(lambda: proxy.heard, seconds=30)
        first.kill()
        proxy.pass_on()
        start("second")
        wait_for(lambda: UnifiedSession.objects.filter(status="expired").count() == DUE, seconds=60)
        wait_for(lambda: queue.hlen("unacked") == 0, seconds=10)

    check_each_ended_once(DUE)

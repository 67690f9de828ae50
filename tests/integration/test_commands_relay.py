"""``manage.py run_relay`` as an operator, and as a supervisor, runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from sessions_unified import event_log
from sessions_unified.manager import UnifiedSessionManager
from tests.managing import ORDER, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_flush"),
]


def run(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("run_relay", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_once_it_handles_what_there_is() -> None:
    UnifiedSessionManager().create_session(**ORDER)

    assert run("--once") == ["caches: all handled."]

    assert event_log.lag("caches") == (0, 0)


def test_once_it_says_what_holds_it_back() -> None:
    UnifiedSessionManager().create_session(**ORDER)
    run("--once")
    is_open, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
            is_open.set()
            may_end.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    is_open.wait(60)
    UnifiedSessionManager().create_session(**ORDER)

    lines = run("--once")
    may_end.set()
    thread.join()

    assert lines[0] == "caches: 1 events to come."
    assert lines[1].startswith("Process ")
    assert re.search(r"of PostgreSQL has been writing for \d+ s\.$", lines[1])


def test_without_redis_there_is_nobody_to_tell(settings: SettingsWrapper) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    with pytest.raises(CommandError, match="nobody to tell"):
        run("--once")


def test_a_redis_that_is_down_is_an_error_of_once(settings: SettingsWrapper) -> None:
    here = settings.CACHES["default"]
    settings.CACHES = {"default": here | {"LOCATION": "redis://127.0.0.1:1/0"}}
    UnifiedSessionManager().create_session(**ORDER)

    with pytest.raises(CommandError, match="Not everything was handled"):
        run("--once")


@pytest.fixture
def relay(site_env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "run_relay"],
            env={**site_env, "LOG_FORMAT": "lines"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
            log.seek(0)
            print(log.read())


def dead_connections() -> int:
    """End every other connection to the database, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        (number,) = cursor.fetchone()
    return int(number)


def test_it_follows_until_it_is_stopped(relay: subprocess.Popen[str]) -> None:
    manager = UnifiedSessionManager()
    manager.create_session(**ORDER)
    wait_for(lambda: event_log.lag("caches").events == 0)
    ended = dead_connections()
    manager.create_session(**ORDER)
    wait_for(lambda: event_log.lag("caches").events == 0)

    relay.send_signal(signal.SIGTERM)
    out, _ = relay.communicate(timeout=60)

    assert ended
    assert relay.returncode == 0
    assert out.splitlines() == [
        "Following the event log for: caches",
        "Stopped; the next relay goes on from here.",
    ]


def test_ctrl_c_stops_it_too(relay: subprocess.Popen[str]) -> None:
    assert relay.stdout is not None
    first = relay.stdout.readline()

    relay.send_signal(signal.SIGINT)
    out, _ = relay.communicate(timeout=60)

    assert relay.returncode == 0
    assert (first + out).splitlines()[-1] == "Stopped; the next relay goes on from here."

"""The doctor against real servers: each round trip, and what it says when one is amiss."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from django.core.management import call_command
from django.db import connection, transaction

from funnel.local.ports import LOOPBACK, free_port
from sessions_unified import get_manager
from sessions_unified.doctor import CHECKS, Finding, Status, run
from sessions_unified.doctor import database as database_checks
from sessions_unified.models import SessionEvent, SessionLink, UnifiedSession
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep.pacing import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.usefixtures("transactional_db", "redis_flush")

LIVE = (
    *("database", "prepared statements", "migrations", "database write", "event log", "clock"),
    *("connections", "tokens", "one-time links", "redis", "redis memory", "memory (L1)"),
    *("invalidation", "broker", "expiry", "cleaning", "touches"),
)


def examined(*names: str) -> dict[str, Finding]:
    found = dict(run([check for check in CHECKS if check.name in names]))
    for name, finding in found.items():
        print(name, finding)
    return found


def look(name: str) -> Finding:
    return examined(name)[name]


def test_every_round_trip_goes_well_and_leaves_nothing(redis_client: redis.Redis) -> None:
    found = examined(*LIVE)

    assert {name: each.text for name, each in found.items() if each.status is not Status.OK} == {}
    assert set(found) == set(LIVE)
    assert found["database"].ms is not None
    assert not UnifiedSession.objects.exists()
    assert not SessionEvent.objects.exists()
    assert not SessionLink.objects.exists()
    assert redis_client.keys("su:doctor*") == []


def test_a_project_without_redis_and_celery_is_no_failure(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    monkeypatch.setattr("sessions_unified.doctor.tasks.current_app", Celery(set_as_current=False))

    found = examined(
        *("redis", "redis memory", "memory (L1)", "invalidation", "touches"),
        *("broker", "workers", "relay"),
    )

    wanting = {name for name, each in found.items() if each.status is not Status.OK}
    assert wanting == {"broker"}
    assert "cleanup_sessions by cron" in found["broker"].advice
    assert found["relay"].text == "nobody follows the event log"


def test_a_read_only_database_is_found() -> None:
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        found = look("database")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    assert found.status is Status.FAIL
    assert "takes no writes" in found.text
    assert found.runbook.endswith("#database-read-only")


def test_a_missing_migration_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'sessions_unified' AND name LIKE '0003%' "
            "RETURNING app, name, applied"
        )
        row = cursor.fetchone()
    try:
        found = look("migrations")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", row
            )

    assert found.status is Status.FAIL
    assert "sessions_unified.0003_relay_and_retention" in found.text
    assert "manage.py migrate" in found.advice


def test_an_event_log_without_its_guard_is_found() -> None:
    table = SessionEvent._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER sessions_unified_append_only")
    try:
        found = look("event log")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER sessions_unified_append_only")

    assert found.status is Status.FAIL
    assert "is switched off" in found.text


def test_a_pool_that_the_server_cannot_fill_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        max_size = 10_000

    monkeypatch.setattr(database_checks, "get_pool", lambda: Pool)

    found = look("connections")

    assert found.status is Status.WARN
    assert "up to 10000" in found.text


def test_a_redis_that_is_full_and_evicts_nothing_is_found(redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory", 1)
    try:
        full = look("redis memory")
        redis_client.config_set("maxmemory-policy", "allkeys-lru")
        evicting = look("redis memory")
    finally:
        redis_client.config_set("maxmemory", 0)
        redis_client.config_set("maxmemory-policy", "noeviction")

    assert full.status is Status.FAIL
    assert "refuses writes" in full.text
    assert evicting.status is Status.OK


def test_a_message_that_does_not_come_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = get_tiers().redis
    assert tier is not None
    monkeypatch.setattr("sessions_unified.doctor.channel._MESSAGE_SECONDS", 0.1)
    monkeypatch.setattr(
        "redis.client.PubSub.subscribe",
        lambda self, channel: self.execute_command("SUBSCRIBE", "x"),
    )

    found = look("invalidation")

    assert found.status is Status.FAIL
    assert "did not come back" in found.text


def test_a_relay_that_never_ran_is_found() -> None:
    found = look("relay")

    assert found.status is Status.WARN
    assert found.text == "never ran: caches"


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_relay_that_lags_is_found() -> None:
    get_manager().create_session(email="ana@example.org")
    execute("INSERT INTO sessions_unified_logcursor VALUES ('caches', '0', 0, '[]', now())")

    young = look("relay")
    execute(
        "ALTER TABLE sessions_unified_sessionevent DISABLE TRIGGER USER",
        "UPDATE sessions_unified_sessionevent SET at = at - interval '2 minutes'",
        "ALTER TABLE sessions_unified_sessionevent ENABLE TRIGGER USER",
    )
    old = look("relay")

    assert (young.status, old.status) == (Status.OK, Status.FAIL)
    assert old.text.startswith("caches is 12")
    assert old.runbook.endswith("#relay-lagging")


def test_what_holds_the_relay_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_unified.doctor.waiting._RELAY_WARN_SECONDS", 0)
    get_manager().create_session(email="ana@example.org")
    execute("INSERT INTO sessions_unified_logcursor VALUES ('caches', '0', 0, '[]', now())")

    with transaction.atomic():
        execute("SELECT pg_current_xact_id()")
        found = look("relay")

    assert found.status is Status.WARN
    assert f"held back by process {connection.connection.info.backend_pid}" in found.text
    assert found.runbook.endswith("#relay-held-back")


def test_sessions_that_nobody_settles_are_found() -> None:
    session = get_manager().create_session(email="ana@example.org")
    ended = session.created_at - timedelta(hours=1)
    UnifiedSession.objects.filter(pk=session.id).update(expires_at=ended)

    found = look("expiry")

    assert found.status is Status.WARN
    assert found.text.startswith("1 past their end, the oldest for 3,6")


def test_who_holds_the_cleaning_is_named() -> None:
    free = look("cleaning")

    with hold(get_tiers()):
        found = look("cleaning")
        pid = connection.connection.info.backend_pid

    assert (free.status, free.text) == (Status.OK, "not on hold")
    assert found.status is Status.WARN
    assert f"cleaning is on hold by process {pid} " in found.text


def test_touches_that_nobody_flushes_are_found(redis_client: redis.Redis) -> None:
    redis_client.zadd("su:touches", {"ws_1_1": time.time() - 1000})

    found = look("touches")

    assert found.status is Status.WARN
    assert found.text.startswith("1 pending, the oldest for 1,00")


def test_the_command_prints_what_to_do_and_exits_with_1() -> None:
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out)

    text = out.getvalue()
    assert ended.value.code == 1
    assert "ok    database " in text
    assert "fail  workers" in text
    assert "docs/howto/runbooks.md#workers-down" in text
    assert text.rstrip().splitlines()[-1].startswith("Look at:")
    assert "Failed: workers." in text


@pytest.fixture
def silence() -> Iterator[int]:
    """Return a port where a server accepts and never answers."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield listening.getsockname()[1]


def doctor(**env: str) -> tuple[int, dict[str, dict[str, Any]], float]:
    """Run ``manage.py doctor --json`` as a process; return its code, checks and duration."""
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", "--timeout", "4"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done.returncode, json.loads(done.stdout)["checks"], time.monotonic() - before


def failures(checks: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, each in checks.items() if each["status"] == "fail"}


def test_servers_that_hang_do_not_hang_the_doctor(silence: int) -> None:
    code, checks, seconds = doctor(
        DATABASE_URL=f"postgresql://shop:hidden@{LOOPBACK}:{silence}/shop",
        REDIS_URL=f"redis://:hidden@{LOOPBACK}:{silence}/0",
        REDIS_TIMEOUT_MS="50",
    )

    assert code == 1
    assert {"database", "redis", "broker"} <= failures(checks)
    assert checks["tokens"]["status"] == "ok"
    assert checks["database write"]["status"] == "skip"
    assert checks["database write"]["text"] == "skipped: needs database"
    assert checks["broker"]["ms"] < 3000
    assert "hidden" not in str(checks)
    assert seconds < 60


def test_servers_that_refuse_are_named_with_their_reason() -> None:
    port = free_port()

    code, checks, _ = doctor(
        DATABASE_URL=f"postgresql://shop:hidden@{LOOPBACK}:{port}/shop",
        REDIS_URL=f"redis://:hidden@{LOOPBACK}:{port}/0",
    )

    assert code == 1
    assert "refused" in checks["database"]["text"]
    assert "refused" in checks["redis"]["text"]
    assert checks["database"]["runbook"] == "docs/howto/runbooks.md#database-down"
    assert "hidden" not in str(checks)

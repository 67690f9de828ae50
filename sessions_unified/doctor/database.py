"""L3, PostgreSQL: that it answers, lets us write, and is as the code needs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor

from sessions_unified import ids
from sessions_unified.conf import get_conf
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok, warned
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.monitoring import vitals
from sessions_unified.monitoring.pool_stats import get_pool
from sessions_unified.tiers.rows import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_OLDEST_SERVER: Final = 14
_CONNECT_SECONDS: Final = 2
_SKEW_SECONDS: Final = 5
_TRIPS: Final = 5
_HOT: Final = "SELECT %s::int"


def _connect() -> AbstractContextManager[Any]:
    """Open a connection past the pool, whose own error would hide the server's."""
    params = connections[get_conf().DATABASE_ALIAS].get_connection_params()
    params |= {"connect_timeout": _CONNECT_SECONDS, "autocommit": True}
    return psycopg.connect(**params)


def _database() -> Finding:
    connecting = Stopwatch()
    with _connect() as connection:
        connected = f"connected in {connecting.ms:.1f} ms"
        version = connection.info.server_version // 10_000
        if version < _OLDEST_SERVER:
            return failed(
                f"the server is PostgreSQL {version}",
                f"Move to PostgreSQL {_OLDEST_SERVER} or newer.",
                "database-down",
            )
        ms = min(_trips(connection))
        with connection.cursor() as cursor:
            is_writable = vitals.is_writable(cursor)
    if not is_writable:
        return failed(
            "the server takes no writes: a standby, or default_transaction_read_only is on",
            "Point DATABASE_URL at the primary, promote this one, or end what made it read-only.",
            "database-read-only",
            ms=ms,
        )
    return ok(f"PostgreSQL {version}, {connected}", ms=ms)


def _trips(connection: Any) -> Iterator[float]:
    for _ in range(_TRIPS):
        watch = Stopwatch()
        connection.execute("SELECT 1").fetchone()
        yield watch.ms


def _prepared() -> Finding:
    if not get_conf().PREPARED_STATEMENTS:
        return ok("not used (PREPARED_STATEMENTS is off)")
    with _connect() as connection:
        connection.execute(_HOT, [1], prepare=True).fetchone()
        watch = Stopwatch()
        connection.execute(_HOT, [1], prepare=True).fetchone()
        return ok("kept between statements", ms=watch.ms)


def _write() -> Finding:
    alias = get_conf().DATABASE_ALIAS
    now = datetime.now(UTC)
    session_id = ids.mint_session_id(0)
    watch = Stopwatch()
    with transaction.atomic(using=alias):
        UnifiedSession.objects.using(alias).create(
            id=session_id,
            status="pending",
            current_step="doctor",
            currency="XXX",
            created_at=now,
            updated_at=now,
            expires_at=now + timedelta(minutes=1),
        )
        SessionEvent.objects.using(alias).create(
            session_id=session_id, seq=1, kind="doctor", actor="doctor", at=now
        )
        transaction.set_rollback(True, using=alias)
    return ok("a session and its event, undone", ms=watch.ms)


def _migrations() -> Finding:
    executor = MigrationExecutor(connections[get_conf().DATABASE_ALIAS])
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not missing:
        return ok("all applied")
    names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""  # noqa: PLR2004
    return failed(f"not applied: {names}{more}", "Run manage.py migrate.", "migrations-not-applied")


def _trigger() -> Finding:
    with connections[get_conf().DATABASE_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT tgenabled FROM pg_trigger "
            "WHERE tgrelid = %s::regclass AND tgname = 'sessions_unified_append_only'",
            [EVENTS],
        )
        row = cursor.fetchone()
    if row is not None and row[0] in {"O", "A"}:
        return ok("append-only: its trigger is there")
    state = "is missing" if row is None else "is switched off"
    return failed(
        f"the trigger that keeps the event log append-only {state}",
        "Make it again: migration sessions_unified.0002 has its text. Ask who changed the schema.",
        "event-log-not-protected",
    )


def _clock() -> Finding:
    with connections[get_conf().DATABASE_ALIAS].cursor() as cursor:
        watch = Stopwatch()
        before = datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp()")
        (there,) = cursor.fetchone()
        ms = watch.ms
    skew = (before + timedelta(milliseconds=ms / 2) - there).total_seconds()
    side = "ahead of" if skew > 0 else "behind"
    text = f"this host is {abs(skew):.3f} s {side} the database"
    if abs(skew) < _SKEW_SECONDS:
        return ok(text, ms=ms)
    return warned(
        text, "Sessions go by the database's clock. Start NTP on this host.", "clock-skew", ms=ms
    )


def _connections() -> Finding:
    with connections[get_conf().DATABASE_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int "
            "- current_setting('superuser_reserved_connections')::int, "
            "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
        most, used = cursor.fetchone()
    pool = get_pool()
    wanted: int = getattr(pool, "max_size", 1)
    text = f"{used} of {most} in use; a process takes up to {wanted}"
    if most - used >= wanted:
        return ok(text)
    return warned(
        text,
        "Raise max_connections, lower DATABASE_POOL_MAX, or put a pooler between.",
        "database-pool-exhausted",
    )


_MEND: Final = "Is it running? Do DATABASE_URL's host, user and password hold?"
CHECKS: Final = [
    Check(name="database", look=_database, advice=_MEND, runbook="database-down"),
    *(
        Check(name=name, look=look, advice=advice, runbook=runbook, needs="database")
        for name, look, advice, runbook in (
            (
                "prepared statements",
                _prepared,
                "A pooler in transaction mode? Turn PREPARED_STATEMENTS off.",
                "prepared-statements-lost",
            ),
            ("migrations", _migrations, "Run manage.py migrate.", "migrations-not-applied"),
            (
                "database write",
                _write,
                "May this user write? Is the disk full?",
                "database-read-only",
            ),
            ("event log", _trigger, "Run manage.py migrate.", "event-log-not-protected"),
            ("clock", _clock, "Look at the database.", "clock-skew"),
            ("connections", _connections, "Look at the database.", "database-pool-exhausted"),
        )
    ),
]

"""Statements past Django's cursor: prepared on the server, on Django's own connection.

Django sends its statements unprepared, through three layers of wrappers; the hot read is two times
as fast without them. Where somebody listens to Django's cursors (a query log, a test that counts),
theirs are used.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from django.db import Error, InterfaceError, OperationalError, connections

from sessions_unified.postgres import renew_pool

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# psycopg prepares what it is told to, and nothing by itself: Django's own statements carry their
# values in their text and would fill the server's memory.
_BY_HAND_ONLY: Final = 2**31

_LOAD_TIMESTAMPTZ: Any = psycopg.adapters.get_loader(
    psycopg.adapters.types["timestamptz"].oid, psycopg.pq.Format.TEXT
)

_READ_ONLY: Final = "25006"  # read_only_sql_transaction: a standby, or a primary that was demoted
_ROLLED_BACK: Final = "40"  # deadlock, serialization failure: the server is well
_CANCELED: Final = frozenset({"57014", "55P03"})  # statement_timeout, lock_timeout
# What was prepared is no longer what the server has: a migration changed a column's type, a pooler
# gave us another session.
_STALE: Final = frozenset({"0A000", "26000", "42P05"})


class ThreadConnection(threading.local):
    """``connection``: this thread's connection of an alias; `connections` takes 1 µs to tell."""

    def __init__(self, alias: str) -> None:
        self.connection: BaseDatabaseWrapper = connections[alias]


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A failure to get an answer, which says nothing against the statement.

    Attributes:
        counts: it says something about the next call too. A server that is read-only does not:
            it answers reads.
        is_stale: what was prepared on the connection is not what the server has; a new one helps.
        ends_connection: it is of no use any more.
        is_read_only: the server answers, but will not write: it has become a standby.

    """

    counts: bool = True
    is_read_only: bool = False
    is_stale: bool = False
    ends_connection: bool = True


def outage(exc: Error) -> Outage | None:
    """Return what ``exc`` says of the database; None for an ordinary error of a statement."""
    sqlstate: str = getattr(exc.__cause__, "sqlstate", None) or ""
    if sqlstate == _READ_ONLY:
        return Outage(counts=False, is_read_only=True)
    if sqlstate in _STALE:
        return Outage(counts=False, is_stale=True)
    if not isinstance(exc, OperationalError | InterfaceError):
        return None
    is_alive = sqlstate.startswith(_ROLLED_BACK) or sqlstate in _CANCELED
    return Outage(counts=not is_alive, ends_connection=not is_alive)


def fetch(
    connection: BaseDatabaseWrapper, sql: str, params: list[Any], *, prepares: bool
) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows; outside a transaction it is its own.

    Raises:
        django.db.Error: as Django's cursors.

    """
    if not prepares or connection.execute_wrappers or connection.queries_logged:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            answer: list[tuple[Any, ...]] = cursor.fetchall()
            return answer
    if connection.connection is None or not connection.health_check_done:  # type: ignore[attr-defined]  # the stubs lack it
        connection.close_if_health_check_failed()
        connection.ensure_connection()
    if connection.needs_rollback:
        connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        return _cursor(connection.connection).execute(sql, params, prepare=True).fetchall()


def _cursor(raw: Any) -> psycopg.Cursor[Any]:
    """Return the connection's cursor for our statements; one thread at a time has a connection."""
    cursor: psycopg.Cursor[Any] | None = getattr(raw, "sessions_unified_cursor", None)
    if cursor is None:
        if raw.prepare_threshold is None:
            raw.prepare_threshold = _BY_HAND_ONLY
        cursor = raw.sessions_unified_cursor = psycopg.Cursor(raw)
        # Django's loader of times is written in Python; psycopg's own isn't.
        cursor.adapters.register_loader("timestamptz", _LOAD_TIMESTAMPTZ)
    return cursor


def discard(connection: BaseDatabaseWrapper, *, whole_pool: bool = False) -> None:
    """Give a connection up, so that the next statement gets another; never raises.

    ``whole_pool``: the others of this process lead to the same server, which is of no use.
    """
    raw = connection.connection
    with suppress(Exception):
        if raw is not None:
            raw.close()  # else the pool would take it back
        connection.close()
    if whole_pool:
        with suppress(Exception):
            renew_pool(connection.pool)  # type: ignore[attr-defined]  # PostgreSQL's wrapper

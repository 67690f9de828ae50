"""L3: PostgreSQL, the truth. Reads without model instances; a write and its event are one CTE."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgspec
from django.db import DataError, Error, transaction

from sessions_unified import metrics
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidChangeError,
    SessionNotFoundError,
)
from sessions_unified.tiers import rows
from sessions_unified.tiers.base import Copy, Read, Tier
from sessions_unified.tiers.statements import ThreadConnection, discard, fetch, outage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper

    from sessions_unified.clock import Clock
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers.breaker import CircuitBreaker

# Seed of the advisory locks on session ids, so that they meet no other application's.
_LOCK_SEED = 7_305_517_263


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an event says of a change.

    Attributes:
        kind: what happened.
        actor: who did it, without PII.
        at: database time of the change.
        changed: names of the fields that changed.
        data: facts without PII: positions, amounts, offers.

    """

    kind: str
    actor: str
    at: datetime
    changed: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def params(self) -> list[Any]:
        """Return the values of the event's columns after ``session_id`` and ``seq``."""
        changed = msgspec.json.encode(self.changed).decode()
        data = msgspec.json.encode(self.data).decode()
        return [self.kind, changed, data, self.actor, self.at]


@dataclass(frozen=True, kw_only=True)
class LockedRow:
    """A session's row under its lock, with what a snapshot does not carry."""

    copy: Copy
    holds: int
    last_seen_at: datetime | None


_EVENT = (
    f"INSERT INTO {rows.EVENTS} (session_id, seq, kind, changed, data, actor, at) "
    "SELECT id, version, %s, %s::jsonb, %s::jsonb, %s, %s FROM changed"
)


_SELECT = f"SELECT {rows.COLUMNS} FROM {rows.SESSIONS} WHERE id = %s AND deleted_at IS NULL"
_SELECT_MANY = (
    f"SELECT {rows.COLUMNS} FROM {rows.SESSIONS} WHERE id = ANY(%s) AND deleted_at IS NULL"
)
_SELECT_ROW = (
    f"SELECT {rows.COLUMNS}, holds, last_seen_at FROM {rows.SESSIONS} "
    "WHERE id = %s AND deleted_at IS NULL"
)

_INSERT = (
    f"WITH changed AS (INSERT INTO {rows.SESSIONS} ({rows.COLUMNS}, holds) "
    f"VALUES ({', '.join(rows.PLACEHOLDERS)}, 0) ON CONFLICT (id) DO NOTHING "
    f"RETURNING id, version), logged AS ({_EVENT}) SELECT 1 FROM changed"
)


@cache
def _update_sql(names: tuple[str, ...]) -> str:
    """Return the statement that changes these columns, if the version is as it was, and logs it."""
    settings = ", ".join(f"{name} = {rows.placeholder(name)}" for name in names)
    return (
        f"WITH changed AS (UPDATE {rows.SESSIONS} SET {settings} "
        "WHERE id = %s AND version = %s AND deleted_at IS NULL RETURNING id, version), "
        f"logged AS ({_EVENT}) SELECT 1 FROM changed"
    )


_reading = metrics.OPERATION.labels("database", "read")
_writing = metrics.OPERATION.labels("database", "write")
_found = metrics.READS.labels("database", "hit")
_absent = metrics.READS.labels("database", "miss")
_errors = metrics.READS.labels("database", "error")


class DatabaseTier(Tier):
    """The durable tier. A failure to answer is a `DatabaseUnavailableError`.

    Attributes:
        alias: the connection's alias in ``DATABASES``.
        breaker: open after failures in a row; then calls fail at once, a probe apart.
        thread: ``.connection`` is this thread's connection, at the price of one attribute.

    """

    name: ClassVar[str] = "database"

    def __init__(
        self, *, clock: Clock, alias: str, breaker: CircuitBreaker, prepares: bool = True
    ) -> None:
        self._clock = clock
        self._prepares = prepares
        self.alias = alias
        self.breaker = breaker
        self.thread = ThreadConnection(alias)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """The connection of this thread."""
        return self.thread.connection

    def read(self, session_id: str) -> Read:
        """Return the row as a copy; a tombstone is a miss."""
        return Read(self.peek(session_id))

    def peek(self, session_id: str) -> Copy | None:
        """Return the row as a copy."""
        true_at = self._clock.now()  # before the statement: a copy never looks younger than it is
        began = time.monotonic()
        try:
            found = self._fetch(_SELECT, [session_id])
        except DatabaseUnavailableError:
            _errors.inc()
            raise
        _reading.observe(time.monotonic() - began)
        (_found if found else _absent).inc()
        return Copy(rows.from_row(found[0]), true_at) if found else None

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the rows of several sessions, in one statement."""
        true_at = self._clock.now()
        found = self._fetch(_SELECT_MANY, [list(session_ids)])
        snapshots = (rows.from_row(row) for row in found)
        return {session.id: Copy(session, true_at) for session in snapshots}

    def lock(self, session_id: str) -> LockedRow | None:
        """Lock the session's id and its row until the transaction ends, and return it.

        The advisory lock comes first: the session may still live in a legacy store only.
        """
        self._fetch(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [session_id, _LOCK_SEED]
        )
        return self.row(session_id, for_update=True)

    def row(self, session_id: str, *, for_update: bool = False) -> LockedRow | None:
        """Return the row with its holds and its last touch."""
        true_at = self._clock.now()
        sql = f"{_SELECT_ROW} FOR UPDATE" if for_update else _SELECT_ROW
        found = self._fetch(sql, [session_id])
        if not found:
            return None
        *columns, holds, seen = found[0]
        return LockedRow(copy=Copy(rows.from_row(columns), true_at), holds=holds, last_seen_at=seen)

    def insert(self, session: SessionSnapshot, change: Change) -> bool:
        """Insert the row and its event; False if the id is taken, by a tombstone too."""
        return bool(self._write(_INSERT, [*rows.to_params(session), *change.params()]))

    def compare_and_set(
        self, before_version: int, session: SessionSnapshot, change: Change, columns: Iterable[str]
    ) -> bool:
        """Write the named columns if the row is still at ``before_version``; with its event."""
        names = tuple(dict.fromkeys([*columns, "version", "updated_at", "expires_at"]))
        params = [*rows.to_params(session, names), session.id, before_version]
        return bool(self._write(_update_sql(names), [*params, *change.params()]))

    def tombstone(self, session_id: str, change: Change) -> int | None:
        """Replace the row by a tombstone; return its version, None if absent or held."""
        sql = (
            f"WITH changed AS (UPDATE {rows.SESSIONS} SET {rows.BLANK}, deleted_at = %s, "
            "updated_at = %s, version = version + 1 "
            "WHERE id = %s AND deleted_at IS NULL AND holds = 0 RETURNING id, version), "
            f"logged AS ({_EVENT}) SELECT version FROM changed"
        )
        found = self._fetch(sql, [change.at, change.at, session_id, *change.params()])
        return int(found[0][0]) if found else None

    def change_holds(self, session_id: str, by: int) -> None:
        """Raise or lower the count of open holds; under the session's lock."""
        sql = f"UPDATE {rows.SESSIONS} SET holds = holds + %s WHERE id = %s RETURNING id"
        if not self._fetch(sql, [by, session_id]):
            raise SessionNotFoundError

    def raise_last_seen(self, seen: dict[str, datetime]) -> None:
        """Raise ``last_seen_at`` of several sessions; repeats and stale values are harmless.

        The rows are locked in the order of their ids, so that two who write the same ones wait for
        each other, and never each for the other.
        """
        sql = (
            "WITH t AS (SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS t(id, seen)), "
            f"locked AS MATERIALIZED (SELECT s.id FROM {rows.SESSIONS} AS s JOIN t USING (id) "
            "WHERE s.deleted_at IS NULL ORDER BY s.id FOR NO KEY UPDATE OF s) "
            f"UPDATE {rows.SESSIONS} AS s SET last_seen_at = GREATEST(s.last_seen_at, t.seen) "
            "FROM t JOIN locked USING (id) WHERE s.id = t.id RETURNING s.id"
        )
        self._fetch(sql, [list(seen), list(seen.values())])

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Run one transaction, whose beginning and commit fail as everything else here does.

        Raises:
            DatabaseUnavailableError: at COMMIT, whether it was stored is not known.

        """
        outermost = not self.connection.in_atomic_block
        if outermost:
            self._enter()
        began = time.monotonic()
        try:
            with transaction.atomic(using=self.alias, durable=durable):
                yield
        except DatabaseUnavailableError as exc:
            if outermost:
                self._give_up(exc.__cause__)
            raise
        except Error as exc:
            self._raise(exc)
        if outermost:
            self.breaker.succeeded()
            _writing.observe(time.monotonic() - began)

    def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that is not for shoppers: of cleaning, of an audit.

        It is planned anew each time, since a batch's size and what is due decide its plan.
        """
        with self.transaction(), self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def fetch(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a statement of a shopper's request, prepared like our own.

        For a manager that extends ours, in the same transaction.

        Raises:
            DatabaseUnavailableError: it did not answer, or is being left alone.

        """
        return self._fetch(sql, params)

    def ping(self) -> None:
        """Ask for nothing.

        Raises:
            DatabaseUnavailableError: it did not answer, or is being left alone.

        """
        self._fetch("SELECT 1", [])

    def start_afresh(self) -> None:
        """Begin anew in a child after fork."""
        self.breaker.start_afresh()

    def _write(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        began = time.monotonic()
        found = self._fetch(sql, params)
        if not self.connection.in_atomic_block:
            _writing.observe(time.monotonic() - began)
        return found

    def _fetch(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        connection = self.thread.connection
        if not connection.in_atomic_block:
            self._enter()
        try:
            found = fetch(connection, sql, params, prepares=self._prepares)
        except (DataError, ValueError) as exc:
            self.breaker.succeeded()
            message = "A value cannot be stored: it holds a NUL character or is out of range."
            raise InvalidChangeError(message) from exc
        except Error as exc:
            trouble = outage(exc)
            if trouble is None or not trouble.is_stale or connection.in_atomic_block:
                self._raise(exc)
            self._give_up(exc)
            return self._fetch(sql, params)
        self.breaker.succeeded()
        return found

    def _enter(self) -> None:
        if not self.breaker.allows():
            message = "The database is being left alone after repeated failures. Try again soon."
            raise DatabaseUnavailableError(message)

    def _raise(self, exc: Error) -> NoReturn:
        """Raise ``exc`` as what it means here."""
        trouble = outage(exc)
        if trouble is None:
            self.breaker.succeeded()  # it has answered
            raise exc
        if trouble.counts:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        if not self.connection.in_atomic_block:
            self._give_up(exc)
        raise DatabaseUnavailableError from exc

    def _give_up(self, exc: BaseException | None) -> None:
        """Discard a connection that is no use; all of the process's, if their server isn't."""
        trouble = outage(exc) if isinstance(exc, Error) else None
        if trouble is not None and trouble.ends_connection:
            discard(self.connection, whole_pool=trouble.is_read_only)

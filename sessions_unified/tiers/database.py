"""L3: PostgreSQL, the truth. Reads without model instances; a write and its event are one CTE."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from django.db import DataError, InterfaceError, OperationalError, connections, transaction

from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidChangeError,
    SessionNotFoundError,
)
from sessions_unified.tiers import rows
from sessions_unified.tiers.base import Copy, Read, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper

    from sessions_unified.clock import Clock
    from sessions_unified.snapshot import SessionSnapshot

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


class DatabaseTier(Tier):
    """The durable tier. A failure to answer is a `DatabaseUnavailableError`."""

    name: ClassVar[str] = "database"

    def __init__(self, *, clock: Clock, alias: str) -> None:
        self._clock = clock
        self.alias = alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """The connection of this thread."""
        return connections[self.alias]

    def read(self, session_id: str) -> Read:
        """Return the row as a copy; a tombstone is a miss."""
        return Read(self.peek(session_id))

    def peek(self, session_id: str) -> Copy | None:
        """Return the row as a copy."""
        true_at = self._clock.now()  # before the statement: a copy never looks younger than it is
        sql = f"SELECT {rows.COLUMNS} FROM {rows.SESSIONS} WHERE id = %s AND deleted_at IS NULL"
        found = self._fetch(sql, [session_id])
        return Copy(rows.from_row(found[0]), true_at) if found else None

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the rows of several sessions, in one statement."""
        true_at = self._clock.now()
        sql = (
            f"SELECT {rows.COLUMNS} FROM {rows.SESSIONS} WHERE id = ANY(%s) AND deleted_at IS NULL"
        )
        found = self._fetch(sql, [list(session_ids)])
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
        sql = (
            f"SELECT {rows.COLUMNS}, holds, last_seen_at FROM {rows.SESSIONS} "
            "WHERE id = %s AND deleted_at IS NULL" + (" FOR UPDATE" if for_update else "")
        )
        found = self._fetch(sql, [session_id])
        if not found:
            return None
        *columns, holds, seen = found[0]
        return LockedRow(copy=Copy(rows.from_row(columns), true_at), holds=holds, last_seen_at=seen)

    def insert(self, session: SessionSnapshot, change: Change) -> bool:
        """Insert the row and its event; False if the id is taken, by a tombstone too."""
        values = rows.to_params(session)
        sql = (
            f"WITH changed AS (INSERT INTO {rows.SESSIONS} ({rows.COLUMNS}, holds) "
            f"VALUES ({', '.join(rows.PLACEHOLDERS)}, 0) ON CONFLICT (id) DO NOTHING "
            f"RETURNING id, version), logged AS ({_EVENT}) SELECT 1 FROM changed"
        )
        return bool(self._fetch(sql, [*values.values(), *change.params()]))

    def compare_and_set(
        self, before_version: int, session: SessionSnapshot, change: Change, columns: Iterable[str]
    ) -> bool:
        """Write the named columns if the row is still at ``before_version``; with its event."""
        values = rows.to_params(session)
        names = dict.fromkeys([*columns, "version", "updated_at", "expires_at"])
        settings = ", ".join(f"{name} = {rows.placeholder(name)}" for name in names)
        sql = (
            f"WITH changed AS (UPDATE {rows.SESSIONS} SET {settings} "
            "WHERE id = %s AND version = %s AND deleted_at IS NULL RETURNING id, version), "
            f"logged AS ({_EVENT}) SELECT 1 FROM changed"
        )
        params = [*(values[name] for name in names), session.id, before_version]
        return bool(self._fetch(sql, [*params, *change.params()]))

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
        """Raise ``last_seen_at`` of several sessions; repeats and stale values are harmless."""
        sql = (
            f"UPDATE {rows.SESSIONS} AS s SET last_seen_at = GREATEST(s.last_seen_at, t.seen) "
            "FROM unnest(%s::text[], %s::timestamptz[]) AS t(id, seen) "
            "WHERE s.id = t.id AND s.deleted_at IS NULL RETURNING s.id"
        )
        self._fetch(sql, [list(seen), list(seen.values())])

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Run one transaction, whose beginning and commit fail as everything else here does.

        Raises:
            DatabaseUnavailableError: at COMMIT, whether it was stored is not known.

        """
        with _unavailable(), transaction.atomic(using=self.alias, durable=durable):
            yield

    def _fetch(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        try:
            with _unavailable(), self.connection.cursor() as cursor:
                cursor.execute(sql, params)
                answer: list[tuple[Any, ...]] = cursor.fetchall()
                return answer
        except (DataError, ValueError) as exc:
            message = "A value cannot be stored: it holds a NUL character or is out of range."
            raise InvalidChangeError(message) from exc


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise DatabaseUnavailableError from exc

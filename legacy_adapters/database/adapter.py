"""Reads and writes a live ``funnel_sessions`` table over its own database alias."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from django.db import Error as DatabaseError

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord, digest_of
from legacy_adapters.database import saving
from legacy_adapters.database.mapping import COLUMNS, to_session
from legacy_adapters.database.naming import Naming
from legacy_adapters.database.scanning import Scan
from legacy_adapters.database.store import Table
from legacy_adapters.database.writing import to_row
from legacy_adapters.exceptions import (
    SourceUnavailableError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from legacy_adapters.fields import values
from legacy_adapters.fields.values import integer
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import EXPIRED, get_flow
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from django.http import HttpRequest

_json = msgspec.json.Decoder(float_hook=Decimal)

_SELECT_MANY: Final = "SELECT row_to_json(t)::text, {id} FROM {} AS t WHERE {id} IN"
_BROKEN: Final = "its JSON cannot be read: it is nested too deeply"


class DatabaseAdapter(LegacyAdapter):
    """A table like ``funnel_sessions`` in PostgreSQL.

    A row is read as one JSON text, which PostgreSQL writes the same way whatever the columns'
    types are: text[] and jsonb, money exact, dates as ISO 8601. It is written the same way back.

    Attributes:
        alias: the ``DATABASES`` alias over which the table is reached.
        table: ``table`` or ``schema.table``, unquoted, case as it is.
        columns: the columns that the shop calls otherwise: our name → the shop's.
        timeout_seconds: how long a question about single rows may take, and so hold a request;
            None: as long as it takes.
        cursor_rows: how many rows one cursor of a scan serves.

    """

    store: ClassVar[Store] = Store.DATABASE
    fields: ClassVar[frozenset[str]] = frozenset(SessionSnapshot.__struct_fields__) - {
        "currency",
        "metadata",
        "version",
    }
    supports_scan = True
    supports_write = True
    supports_peek_many = True

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        alias: str = "legacy",
        table: str = "funnel_sessions",
        columns: Mapping[str, str] | None = None,
        timeout_seconds: float | None = 2.0,
        cursor_rows: int = 20_000,
    ) -> None:
        super().__init__(source=source, request=request)
        self._naming = Naming.of(columns or {})
        self.alias = alias
        self.table = Table(alias=alias, name=table, names=self._naming.to_theirs)
        self._timeout_seconds = timeout_seconds
        self._is_held = False
        self._cursor_rows = cursor_rows

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the row of an id."""
        if values.storable_text(session_id) != session_id:
            return None  # no column holds it
        statement = "SELECT row_to_json(t)::text FROM {} AS t WHERE {id} = %s"
        with self.table.answering("read"), self._limited():
            found = self.table.fetch(statement, [session_id])
        return _record(found[0][0], session_id) if found else None

    def peek_many(self, session_ids: Collection[str]) -> dict[str, LegacyRecord]:
        """Return the rows of several ids, by one statement; what it calls otherwise is asked alone.

        Some types write an id in their own way. Absent ones are few.
        """
        wanted = [each for each in session_ids if values.storable_text(each) == each]
        if not wanted:
            return {}
        # No array: each is of the column's own type then, as in `peek`.
        statement = f"{_SELECT_MANY} ({', '.join(['%s'] * len(wanted))})"
        with self.table.answering("read"), self._limited():
            rows = self.table.fetch(statement, wanted)
        found = {key: _record(text, key) for text, key in rows}
        alone = {each: self.peek(each) for each in wanted if each not in found}
        return found | {key: each for key, each in alone.items() if each is not None}

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expires_at`` has come; a date that is none never comes."""
        try:
            return values.moment(record.data.get(self._name("expires_at"))) <= get_clock().now()
        except ValueError:
            return False

    def _expire(self, record: LegacyRecord) -> None:
        """Set the status, as the old code did; not of one that was extended meanwhile."""
        now = get_clock().now()
        statement = (
            "UPDATE {} SET {status} = %(status)s, {updated_at} = %(now)s "
            "WHERE {id} = %(id)s AND {status} IS DISTINCT FROM %(status)s "
            "AND {expires_at} <= %(now)s"
        )
        with self._writing(), self.table.connection.cursor() as cursor:
            cursor.execute(
                self.table.statement(statement), {"status": EXPIRED, "now": now, "id": record.id}
            )

    def save(self, record: LegacyRecord) -> None:
        """Set the row's columns, or insert it. The shop's own columns are only ever inserted."""
        session_id = record.id
        if not session_id or values.storable_text(session_id) != session_id:
            raise UnwritableRecordError("no column holds its id")
        named = set(map(self._name, COLUMNS))
        own_time = {self._name("updated_at"): self._time_of(record).isoformat()}
        changes = {name: record.data[name] for name in record.data if name in named} | own_time
        changes.pop(self._name("id"), None)
        with self._writing():
            # Twice: whoever inserts it between the two is followed, not overtaken.
            for is_last_word in (False, True):
                if saving.update(self.table, changes, session_id=session_id):
                    return
                if saving.insert(self.table, self._insertable(record), is_last_word=is_last_word):
                    return

    def _time_of(self, record: LegacyRecord) -> datetime:
        """Return when a row is changed: now, or when its record says, if that is later."""
        now = get_clock().now()
        try:
            return max(now, values.moment(record.data.get(self._name("updated_at"))))
        except ValueError:
            return now

    def _insertable(self, record: LegacyRecord) -> dict[str, Any]:
        """Return what a new row says; columns that the table has no more, or fills, are left out.

        Not those of the mapping: without one of these the record would not be what it says.
        """
        named = set(map(self._name, COLUMNS))
        data = {**record.data, self._name("id"): record.id}
        if data.keys() <= named:
            return data
        writable = named | self.table.writable_columns()
        return {name: value for name, value in data.items() if name in writable}

    def delete(self, session_id: str) -> bool:
        """Remove the row of an id."""
        if values.storable_text(session_id) != session_id:
            return False
        with self._writing(), self.table.connection.cursor() as cursor:
            cursor.execute(self.table.statement("DELETE FROM {} WHERE {id} = %s"), [session_id])
            return bool(cursor.rowcount)

    @contextmanager
    def holding(self, session_id: str) -> Iterator[None]:
        """Run one transaction there with the row locked, if there is one; its statements limited.

        Within the block this adapter begins no further ones.
        """
        statement = "SELECT 1 FROM {} WHERE {id} = %s FOR UPDATE"
        with self.table.committing("written", seconds=self._timeout_seconds):
            if values.storable_text(session_id) == session_id:
                self.table.fetch(statement, [session_id])
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    def _limited(self) -> AbstractContextManager[None]:
        return nullcontext() if self._is_held else self.table.limited(self._timeout_seconds)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self.table.answering("written"):
            try:
                with self._limited():
                    yield
            except RecursionError:
                raise UnwritableRecordError("its JSON is nested too deeply") from None
            except DatabaseError as exc:
                reason = saving.refusal(exc)
                if reason is None:
                    raise
                raise UnwritableRecordError(f"the database refuses it: {reason}") from None

    def count(self, *, since: datetime | None = None) -> int:
        """Return the number of rows; with ``since``, of those changed then or later."""
        conditions, params = self._since(since)
        statement = " WHERE ".join(["SELECT count(*) FROM {}", *conditions])
        ((number,),) = self.table.fetch(statement, params)
        return int(number)

    def boundaries(self, parts: int) -> tuple[str, ...]:
        """Return the last id of every part but the last, by one pass over the ids."""
        statement = (
            "SELECT max(id) FROM "
            "(SELECT {id} AS id, ntile(%(parts)s) OVER (ORDER BY {id}) AS part "
            "FROM {} WHERE {id} IS NOT NULL) AS t "
            "WHERE part < %(parts)s GROUP BY part ORDER BY part"
        )
        return tuple(key for (key,) in self.table.fetch(statement, {"parts": parts}))

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the rows in the order of their ids, by short-lived server-side cursors.

        Not in the order of ``updated_at``, with ``since`` neither: any id is a cursor then.
        """
        conditions, params = self._since(since)
        if until is not None:
            conditions.append("{id} <= %(until)s")
        scan = Scan(
            table=self.table,
            select="SELECT row_to_json(t)::text, {id} FROM {} AS t",
            conditions=tuple(conditions),
            params={**params, "until": until},
            cursor_rows=self._cursor_rows,
        )
        for rows in scan.batches(after, size=batch_size):
            records = tuple(_record(text, key) for text, key in rows)
            yield Batch(records=records, cursor=rows[-1][1])

    def _since(self, since: datetime | None) -> tuple[list[str], dict[str, Any]]:
        if since is None:
            return [], {}
        # One that does not say when it was changed may have been.
        return ["({updated_at} >= %(since)s OR {updated_at} IS NULL)"], {"since": since}

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session of a row; amounts are in the site's currency, the table has none."""
        if record.problem is not None:
            raise UnreadableRecordError(record.problem)
        row = self._naming.ours(record.data)
        return to_session(row, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY)

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the row that says what the session says."""
        there = before is not None and before.problem is None
        row = self._naming.ours(before.data) if before is not None and there else None
        return to_row(session, flow=get_flow(), before=row, rename=self._naming.theirs)

    def health(self) -> AdapterHealth:
        """Say whether the table is there, with the columns that are read, and may be read."""
        try:
            problem = self._problem()
        except SourceUnavailableError as exc:
            return AdapterHealth(source=self.source, problem=str(exc))
        return AdapterHealth(source=self.source, problem=problem)

    def _problem(self) -> str | None:
        columns = self.table.columns()
        if not columns:
            return self.table.missing()
        lacking = [name for name in map(self._name, COLUMNS) if name not in columns]
        if lacking:
            return f"The table {self.table.name} has no column {', '.join(lacking)}."
        if not self.table.may("SELECT"):
            return f"The table {self.table.name} may not be read: GRANT SELECT on it."
        return None

    def _name(self, name: str) -> str:
        return self._naming.their_name(name)


def _record(text: str, session_id: str | None) -> LegacyRecord:
    try:
        return LegacyRecord.of(session_id, _read(text))
    except (ValueError, RecursionError):
        return LegacyRecord(id=session_id, data={}, digest=digest_of(text), problem=_BROKEN)


def _read(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _json.decode(text)
    except msgspec.DecodeError:  # an escaped lone surrogate, a number of thousands of digits
        found = json.loads(text, parse_float=Decimal, parse_int=integer)
    return found

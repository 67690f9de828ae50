"""Reads a live ``funnel_sessions`` table over its own database alias."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from legacy_adapters import values
from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord, digest_of
from legacy_adapters.database.mapping import COLUMNS, to_session
from legacy_adapters.database.store import Table
from legacy_adapters.exceptions import SourceUnavailableError, UnreadableRecordError
from legacy_adapters.stores import Store
from legacy_adapters.values import integer
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest

_BROKEN: Final = "its JSON cannot be read: it is nested too deeply"


class DatabaseAdapter(LegacyAdapter):
    """The table ``table`` (``schema.table`` too) behind the ``DATABASES`` alias ``alias``.

    A row is read as one JSON text, which PostgreSQL writes the same way whatever the columns'
    types are: text[] and jsonb, money exact, dates as ISO 8601.
    """

    store: ClassVar[Store] = Store.DATABASE
    fields: ClassVar[frozenset[str]] = frozenset(SessionSnapshot.__struct_fields__) - {
        "currency",
        "metadata",
        "version",
    }
    supports_scan = True

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        alias: str = "legacy",
        table: str = "funnel_sessions",
    ) -> None:
        super().__init__(source=source, request=request)
        self.table = Table(alias=alias, name=table)

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the row of an id."""
        found = self.table.fetch(
            "SELECT row_to_json(t)::text FROM {} AS t WHERE id = %s", [session_id]
        )
        return _record(found[0][0], session_id) if found else None

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expires_at`` has come; a date that is none never comes."""
        try:
            return values.moment(record.data.get("expires_at")) <= get_clock().now()
        except ValueError:
            return False

    def count(self, *, since: datetime | None = None) -> int:
        """Return the number of rows."""
        ((number,),) = self.table.fetch("SELECT count(*) FROM {}", [])
        return int(number)

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the rows in the order of their ids, by one short statement a batch."""
        statement = (
            "SELECT row_to_json(t)::text, id FROM {} AS t "
            "WHERE %(after)s::text IS NULL OR id > %(after)s ORDER BY id LIMIT %(size)s"
        )
        while True:
            found = self.table.fetch(statement, {"after": after, "size": batch_size})
            if not found:
                return
            after = found[-1][1]
            yield Batch(records=tuple(_record(text, key) for text, key in found), cursor=after)
            if len(found) < batch_size:
                return

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session of a row; amounts are in the site's currency, the table has none."""
        if record.problem is not None:
            raise UnreadableRecordError(record.problem)
        return to_session(record.data, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY)

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the row that says what the session says."""
        raise NotImplementedError

    def health(self) -> AdapterHealth:
        """Say whether the table is there with the columns that are read."""
        return AdapterHealth(source=self.source, problem=self._problem())

    def _problem(self) -> str | None:
        try:
            columns = self.table.columns()
        except SourceUnavailableError as exc:
            return str(exc)
        if not columns:
            return self.table.missing()
        lacking = [name for name in COLUMNS if name not in columns]
        if lacking:
            return f"The table {self.table.name} has no column {', '.join(lacking)}."
        return None


def _record(text: str, session_id: str | None) -> LegacyRecord:
    try:
        data = json.loads(text, parse_float=Decimal, parse_int=integer)
        return LegacyRecord.of(session_id, data)
    except (ValueError, RecursionError):
        return LegacyRecord(id=session_id, data={}, digest=digest_of(text), problem=_BROKEN)

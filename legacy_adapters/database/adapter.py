"""Reads a live ``funnel_sessions`` table over its own database alias."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord
from legacy_adapters.database.mapping import COLUMNS, to_session
from legacy_adapters.database.table import Table
from legacy_adapters.exceptions import SourceUnavailableError, UnreadableRecordError
from legacy_adapters.values import integer
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.snapshot import SessionSnapshot

_BROKEN: Final = "its JSON cannot be read: it is nested too deeply"


class DatabaseAdapter(LegacyAdapter):
    """The table ``table`` (``schema.table`` too) behind the ``DATABASES`` alias ``alias``.

    A row is read as one JSON text, which PostgreSQL writes the same way whatever the columns'
    types are: text[] and jsonb, money exact, dates as ISO 8601. Reading never writes: the old
    code's "expired on read" is left to the old code.
    """

    supports_scan: ClassVar[bool] = True

    def __init__(
        self, *, source: str, alias: str = "legacy", table: str = "funnel_sessions"
    ) -> None:
        super().__init__(source=source)
        self.table = Table(alias=alias, name=table)

    def load(self, session_id: str) -> LegacyRecord | None:
        """Return the row of an id."""
        found = self.table.fetch(
            "SELECT row_to_json(t)::text FROM {} AS t WHERE id = %s", [session_id]
        )
        return _record(found[0][0], session_id) if found else None

    def count(self) -> int:
        """Return the number of rows."""
        ((number,),) = self.table.fetch("SELECT count(*) FROM {}", [])
        return int(number)

    def scan(self, after: str | None = None, *, batch_size: int = 500) -> Iterator[Batch]:
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
        said = {name: value for name, value in data.items() if value is not None}
        sorted_text = json.dumps(said, sort_keys=True, default=repr)
    except (ValueError, RecursionError):
        return LegacyRecord(id=session_id, data={}, digest=_digest(text), problem=_BROKEN)
    return LegacyRecord(id=session_id, data=data, digest=_digest(sorted_text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

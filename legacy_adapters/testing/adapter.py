"""A legacy store in a dict, in the format of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.database.mapping import COLUMNS, to_session
from legacy_adapters.database.writing import to_row
from legacy_adapters.fields import values
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import EXPIRED, get_flow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from django.http import HttpRequest

    from sessions_unified.snapshot import SessionSnapshot


class InMemoryAdapter(LegacyAdapter):
    """Holds ``rows``: id → column → value. It keeps the adapters' contract."""

    store: ClassVar[Store] = Store.DATABASE
    fields: ClassVar[frozenset[str]] = DatabaseAdapter.fields
    supports_scan = True
    supports_write = True
    supports_peek_many = True

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        rows: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(source=source, request=request)
        self.rows = rows if rows is not None else {}

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the record of an id."""
        return self._record(session_id) if session_id in self.rows else None

    def peek_many(self, session_ids: Collection[str]) -> dict[str, LegacyRecord]:
        """Return the records of several ids."""
        return {each: self._record(each) for each in session_ids if each in self.rows}

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expires_at`` has come; a date that is none never comes."""
        try:
            return values.moment(record.data.get("expires_at")) <= get_clock().now()
        except ValueError:
            return False

    def _expire(self, record: LegacyRecord) -> None:
        self.rows[record.id or ""] |= {"status": EXPIRED, **_changed_now()}

    def save(self, record: LegacyRecord) -> None:
        """Change the row's columns, or insert it; other columns are only ever inserted."""
        row = self.rows.get(record.id or "")
        if row is None:
            self.rows[record.id or ""] = dict(record.data)
            return
        row |= {name: value for name, value in record.data.items() if name in COLUMNS}
        row |= _changed_now()

    def delete(self, session_id: str) -> bool:
        """Remove the record of an id."""
        return self.rows.pop(session_id, None) is not None

    def count(self, *, since: datetime | None = None) -> int:
        """Return the number of records; with ``since``, of those changed then or later."""
        return len(self._keys(since=since))

    def boundaries(self, parts: int) -> tuple[str, ...]:
        """Return the last id of every part but the last."""
        keys = self._keys()
        ends = {len(keys) * part // parts for part in range(1, parts)} - {0}
        return tuple(keys[end - 1] for end in sorted(ends))

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the records in the order of their ids."""
        while keys := self._keys(after, until=until, since=since)[:batch_size]:
            after = keys[-1]
            yield Batch(records=tuple(self._record(key) for key in keys), cursor=after)

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session of a record, by the table's rules."""
        return to_session(record.data, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY)

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the row that says what the session says."""
        return to_row(session, flow=get_flow(), before=None if before is None else before.data)

    def health(self) -> AdapterHealth:
        """Say that nothing is wrong."""
        return AdapterHealth(source=self.source)

    def _record(self, key: str) -> LegacyRecord:
        return LegacyRecord.of(key, dict(self.rows[key]))

    def _keys(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
    ) -> list[str]:
        return sorted(
            key
            for key, row in self.rows.items()
            if (after is None or key > after)
            and (until is None or key <= until)
            and (since is None or _was_changed(row, since))
        )


def _was_changed(row: dict[str, Any], since: datetime) -> bool:
    try:
        return values.moment(row.get("updated_at")) >= since
    except ValueError:
        return True


def _changed_now() -> dict[str, Any]:
    return {"updated_at": get_clock().now().isoformat()}

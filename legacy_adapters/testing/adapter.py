"""A legacy store in a dict, in the format of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.database.mapping import to_session
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot


class InMemoryAdapter(LegacyAdapter):
    """Holds ``rows``: id → column → value. It keeps the adapters' contract."""

    store: ClassVar[Store] = Store.DATABASE
    fields: ClassVar[frozenset[str]] = DatabaseAdapter.fields
    supports_scan = True

    def __init__(self, *, source: str, rows: dict[str, dict[str, Any]] | None = None) -> None:
        super().__init__(source=source)
        self.rows = rows if rows is not None else {}

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the record of an id."""
        return self._record(session_id) if session_id in self.rows else None

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expires_at`` has come."""
        return self.to_unified(record).expires_at <= get_clock().now()

    def count(self, *, since: datetime | None = None) -> int:
        """Return the number of records."""
        return len(self.rows)

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the records in the order of their ids."""
        while True:
            rest = sorted(key for key in self.rows if after is None or key > after)
            if not rest:
                return
            keys = rest[:batch_size]
            after = keys[-1]
            yield Batch(records=tuple(self._record(key) for key in keys), cursor=after)

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session of a record, by the table's rules."""
        return to_session(record.data, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY)

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the row that says what the session says."""
        raise NotImplementedError

    def health(self) -> AdapterHealth:
        """Say that nothing is wrong."""
        return AdapterHealth(source=self.source)

    def _record(self, key: str) -> LegacyRecord:
        return LegacyRecord.of(key, dict(self.rows[key]))

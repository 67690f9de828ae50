"""A legacy store in a dict, in the format of the table."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord
from legacy_adapters.database.mapping import to_session
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.snapshot import SessionSnapshot


class InMemoryAdapter(LegacyAdapter):
    """Holds ``rows``: id → column → value. It keeps the adapters' contract."""

    supports_scan: ClassVar[bool] = True

    def __init__(self, *, source: str, rows: dict[str, dict[str, Any]] | None = None) -> None:
        super().__init__(source=source)
        self.rows = rows if rows is not None else {}

    def load(self, session_id: str) -> LegacyRecord | None:
        """Return the record of an id."""
        return self._record(session_id) if session_id in self.rows else None

    def count(self) -> int:
        """Return the number of records."""
        return len(self.rows)

    def scan(self, after: str | None = None, *, batch_size: int = 500) -> Iterator[Batch]:
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

    def health(self) -> AdapterHealth:
        """Say that nothing is wrong."""
        return AdapterHealth(source=self.source)

    def _record(self, key: str) -> LegacyRecord:
        row = self.rows[key]
        text = json.dumps(row, sort_keys=True, default=str)
        return LegacyRecord(
            id=key, data=dict(row), digest=hashlib.sha256(text.encode()).hexdigest()
        )

"""The contract of every legacy adapter; the in-memory twin passes the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.exceptions import UnreadableRecordError
from tests.legacy import row

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyAdapter

IDS = [f"ws_mwo5wwds_{number:02}" for number in range(12)]


class LegacyAdapterContract(ABC):
    """Subclass, and say how the adapter is made and how the old code writes its store."""

    @pytest.fixture
    @abstractmethod
    def adapter(self) -> LegacyAdapter: ...

    @abstractmethod
    def put(self, adapter: LegacyAdapter, *rows: dict[str, Any]) -> None: ...

    def fill(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, *(row(id=session_id) for session_id in reversed(IDS)))

    def scanned(self, adapter: LegacyAdapter, **options: Any) -> list[str | None]:
        return [record.id for batch in adapter.scan(**options) for record in batch.records]

    def test_an_empty_store_has_nothing(self, adapter: LegacyAdapter) -> None:
        assert adapter.health().is_healthy
        assert adapter.count() == 0
        assert self.scanned(adapter) == []
        assert adapter.peek(IDS[0]) is None

    def test_what_is_loaded_becomes_its_session(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, row(id=IDS[0], email="søren@exämple.org"))

        record = adapter.peek(IDS[0])

        assert record is not None
        session = adapter.to_unified(record)
        assert (record.id, session.id, session.version) == (IDS[0], IDS[0], 1)
        assert session.email == "søren@exämple.org"

    @pytest.mark.parametrize("batch_size", [1, 5, 6, 12, 500])
    def test_a_scan_yields_every_record_once_in_order(
        self, adapter: LegacyAdapter, batch_size: int
    ) -> None:
        self.fill(adapter)

        batches = list(adapter.scan(batch_size=batch_size))

        assert [record.id for batch in batches for record in batch.records] == IDS
        assert all(1 <= len(batch.records) <= batch_size for batch in batches)
        assert [batch.cursor for batch in batches] == [batch.records[-1].id for batch in batches]
        assert adapter.count() == len(IDS)

    def test_a_scan_goes_on_after_any_cursor(self, adapter: LegacyAdapter) -> None:
        self.fill(adapter)

        for batch in adapter.scan(batch_size=5):
            rest = self.scanned(adapter, after=batch.cursor, batch_size=5)
            assert rest == [each for each in IDS if each > (batch.cursor or "")]

    def test_a_scan_is_not_confused_by_writes_beside_it(self, adapter: LegacyAdapter) -> None:
        self.fill(adapter)
        scan = adapter.scan(batch_size=5)
        first = next(scan)

        self.put(adapter, row(id="ws_0_a"), row(id="ws_z_a"), row(id=IDS[0], email="b@example.org"))

        rest = [record.id for batch in scan for record in batch.records]
        assert [record.id for record in first.records] == IDS[:5]
        assert rest == [*IDS[5:], "ws_z_a"]

    def test_a_scan_finds_what_load_finds(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, row(id=IDS[0]))

        (batch,) = adapter.scan()

        assert batch.records == (adapter.peek(IDS[0]),)

    def test_the_digest_changes_exactly_with_the_record(self, adapter: LegacyAdapter) -> None:
        digests = []
        for email in ("a@example.org", "a@example.org", "b@example.org", "a@example.org"):
            self.put(adapter, row(id=IDS[0], email=email))
            record = adapter.peek(IDS[0])
            assert record is not None
            digests.append(record.digest)

        assert digests[0] == digests[1] == digests[3] != digests[2]

    def test_a_record_without_sense_is_unreadable_and_the_scan_goes_on(
        self, adapter: LegacyAdapter
    ) -> None:
        self.put(adapter, row(id=IDS[0], status="initiated"), row(id=IDS[1]))

        (batch,) = adapter.scan()

        with pytest.raises(UnreadableRecordError, match="status 'initiated'"):
            adapter.to_unified(batch.records[0])
        assert adapter.to_unified(batch.records[1]).id == IDS[1]

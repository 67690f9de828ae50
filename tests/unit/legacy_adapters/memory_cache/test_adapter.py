"""The old cache's adapter: the contract, over the mapping here and over a shop's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.base import LegacyRecord
from legacy_adapters.checks import check_sources
from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import (
    SourceUnavailableError,
    UnreadableRecordError,
    UnsupportedOperationError,
    UnwritableRecordError,
)
from legacy_adapters.memory_cache import SESSIONS, BoundedSessionMap, MemoryCacheAdapter
from tests.contracts.legacy_adapter import IDS
from tests.contracts.session_data import NOW, SessionDataContract, stop_clock
from tests.legacy_tokens import SAMPLES, shifted

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from legacy_adapters.base import LegacyAdapter

SHARED_BY_A_SHOP: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def frozen_clock(settings: SettingsWrapper) -> None:
    stop_clock(settings)


class MapContract(SessionDataContract):
    expired_leaves = None

    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        assert isinstance(adapter, MemoryCacheAdapter)
        for record in records:
            adapter.mapping[record["id"]] = record  # type: ignore[index]


class TestOwnMap(MapContract):
    @pytest.fixture
    def adapter(self) -> LegacyAdapter:
        return MemoryCacheAdapter(source="memory_cache", mapping=BoundedSessionMap())


class TestSharedMapping(MapContract):
    @pytest.fixture
    def adapter(self) -> LegacyAdapter:
        return MemoryCacheAdapter(source="memory_cache", mapping={}, shared=True)


class BrokenMapping(Mapping[str, Any]):
    """A shop's mapping over a server that is away."""

    def __getitem__(self, key: str) -> Any:
        raise ConnectionError("it is away: ana@example.org")

    def __iter__(self) -> Iterator[str]:
        raise OSError

    def __len__(self) -> int:
        raise OSError


class BrokenWritableMapping(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        raise TimeoutError

    def pop(self, *_: Any) -> Any:
        raise TimeoutError


def test_a_mapping_that_raises_is_unavailable() -> None:
    reading = MemoryCacheAdapter(source="old", mapping=BrokenMapping(), shared=True)
    writing = MemoryCacheAdapter(source="old", mapping=BrokenWritableMapping())
    record = LegacyRecord.of(IDS[0], shifted(NOW))

    for call in (
        lambda: reading.peek(IDS[0]),
        lambda: reading.load(IDS[0]),
        lambda: list(reading.scan()),
        reading.count,
        lambda: reading.boundaries(2),
        lambda: writing.save(record),
        lambda: writing.delete(IDS[0]),
    ):
        with pytest.raises(SourceUnavailableError, match="'old' raised") as caught:
            call()
        assert "ana" not in str(caught.value)
    assert "'old' raised ConnectionError" in str(reading.health().problem)


def test_a_mapping_that_cannot_be_changed_is_only_read() -> None:
    adapter = MemoryCacheAdapter(
        source="old",
        mapping=MappingProxyType({IDS[0]: shifted(NOW - timedelta(hours=1), id=IDS[0])}),
    )

    assert not adapter.supports_write
    assert adapter.load(IDS[0]) is None
    assert adapter.peek(IDS[0]) is not None
    with pytest.raises(UnsupportedOperationError):
        adapter.save(LegacyRecord.of(IDS[0], {}))
    with pytest.raises(UnsupportedOperationError):
        adapter.delete(IDS[0])


@pytest.mark.parametrize(
    "entry", ["nonsense", 7, [1], b"{}", {1: 2, "a": 3, None: 4}, {"id": {1: 2, "a": 3}}]
)
def test_an_entry_that_is_no_session_data_is_unreadable(entry: Any) -> None:
    adapter = MemoryCacheAdapter(source="old", mapping={IDS[0]: entry, 7: {}}, shared=True)

    record = adapter.peek(IDS[0])

    assert record is not None
    with pytest.raises(UnreadableRecordError):
        adapter.to_unified(record)
    assert adapter.is_expired(record) is False
    (batch,) = adapter.scan()
    assert batch.records == (record,)
    assert adapter.count() == 1


def test_an_entry_that_holds_itself_is_unreadable() -> None:
    loop: dict[str, Any] = shifted(NOW, id=IDS[0])
    loop["self"] = loop
    adapter = MemoryCacheAdapter(source="old", mapping={IDS[0]: loop})

    record = adapter.peek(IDS[0])

    assert record is not None
    with pytest.raises(UnreadableRecordError, match="no JSON"):
        adapter.to_unified(record)


def test_json_text_is_read_as_what_it_says() -> None:
    entry = shifted(NOW, id=IDS[0])
    adapter = MemoryCacheAdapter(source="old", mapping={IDS[0]: json.dumps(entry)})

    record = adapter.peek(IDS[0])

    assert record is not None
    assert record.data == entry


def test_saving_changes_the_named_fields_only() -> None:
    entries: dict[str, Any] = {IDS[0]: shifted(NOW, id=IDS[0], note="kept", state="NY")}
    adapter = MemoryCacheAdapter(source="old", mapping=entries)

    adapter.save(LegacyRecord.of(IDS[0], {"vaultId": "7", "state": None}))

    assert entries[IDS[0]] == shifted(NOW, id=IDS[0], note="kept", vaultId="7")
    with pytest.raises(UnwritableRecordError, match="id is missing"):
        adapter.save(LegacyRecord.of(None, {}))


def test_every_sample_becomes_a_session_and_comes_back() -> None:
    text = (SAMPLES / "legacy/memory_cache.json").read_text(encoding="utf-8")
    entries = dict(json.loads(text))
    adapter = MemoryCacheAdapter(source="old", mapping=entries, shared=True)

    records = [record for batch in adapter.scan(batch_size=10) for record in batch.records]

    assert [record.id for record in records] == sorted(entries)
    assert len(records) == 56
    for record in records:
        session = adapter.to_unified(record)
        assert adapter.from_unified(session, before=record).digest == record.digest


class TestSettings:
    def entry(self, **options: Any) -> dict[str, Any]:
        return {"old": {"ADAPTER": "legacy_adapters.memory_cache.MemoryCacheAdapter"} | options}

    def test_a_mapping_may_be_named_by_its_path(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = self.entry(MAPPING=f"{__name__}.SHARED_BY_A_SHOP", SHARED=True)

        adapter = get_adapter("old")

        assert isinstance(adapter, MemoryCacheAdapter)
        assert adapter.mapping is SHARED_BY_A_SHOP
        assert adapter.supports_scan

    def test_by_default_it_is_this_process_s_own(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = self.entry()

        adapter = get_adapter("old")

        assert isinstance(adapter, MemoryCacheAdapter)
        assert adapter.mapping is SESSIONS
        assert not adapter.supports_scan
        assert check_sources() == []

    @pytest.mark.parametrize("mapping", [7, "legacy_adapters.no_such", "datetime.datetime", []])
    def test_what_is_no_mapping_is_said_before_the_site_starts(
        self, settings: SettingsWrapper, mapping: Any
    ) -> None:
        settings.LEGACY_ADAPTERS = self.entry(MAPPING=mapping)

        assert [message.id for message in check_sources()] == ["legacy_adapters.E004"]

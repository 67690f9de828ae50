"""Chunks of any size from a store that yields pages: each record once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.backfill.scanning import Reader
from legacy_adapters.testing import InMemoryAdapter
from tests.legacy import row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.base import Batch

KEYS = [f"ws_1_{number:03}" for number in range(60)]


class Watched(InMemoryAdapter):
    """Notes with which pages it is scanned."""

    def __init__(self, number: int = len(KEYS), fails_after: str | None = None) -> None:
        super().__init__(source="memory", rows={key: row(id=key) for key in KEYS[:number]})
        self.pages: list[int] = []
        self.closed = 0
        self._fails_after = fails_after

    def scan(self, after: str | None = None, **options: Any) -> Iterator[Batch]:
        self.pages.append(options["batch_size"])
        try:
            for batch in super().scan(after, **options):
                if self._fails_after is not None and batch.records[0].id > self._fails_after:
                    raise SourceUnavailableError
                yield batch
        finally:
            self.closed += 1


@given(sizes=st.lists(st.integers(1, 40), min_size=1), number=st.integers(0, len(KEYS)))
def test_each_record_once_whatever_the_sizes(sizes: list[int], number: int) -> None:
    reader = Reader(Watched(number))
    found: list[str | None] = []
    for turn in range(len(KEYS) + 2):
        size = sizes[turn % len(sizes)]
        read = reader.take(size)
        assert len(read.records) <= size
        found += [record.id for record in read.records]
        assert read.cursor == (found[-1] if found else None)
        if read.is_last:
            break

    assert found == KEYS[:number]
    assert read.is_last


@given(cut=st.integers(0, len(KEYS) - 1), size=st.integers(1, 20))
def test_after_a_cursor_up_to_a_key(cut: int, size: int) -> None:
    adapter, found, is_last = Watched(), [], False
    reader = Reader(adapter, after=KEYS[5], until=KEYS[cut])

    while not is_last:
        records, _, is_last = reader.take(size)
        found += [record.id for record in records]

    assert found == KEYS[6 : cut + 1]


def test_one_scan_serves_chunks_that_grow() -> None:
    adapter = Watched()
    reader = Reader(adapter)

    for size in (10, 12, 15, 20):
        reader.take(size)

    assert adapter.pages == [10]


def test_a_chunk_smaller_than_a_page_begins_a_new_scan_and_ends_the_old() -> None:
    adapter = Watched()
    reader = Reader(adapter)

    reader.take(10)
    reader.take(4)

    assert (adapter.pages, adapter.closed) == ([10, 4], 1)
    reader.close()
    assert adapter.closed == 2


def test_pages_that_have_become_far_too_small_are_given_up() -> None:
    adapter = Watched()
    reader = Reader(adapter)

    reader.take(4)
    reader.take(40)

    assert adapter.pages == [4, 40]


def test_what_a_store_gave_before_it_failed_is_not_lost() -> None:
    reader = Reader(Watched(fails_after=KEYS[9]))

    assert len(reader.take(10).records) == 10
    with pytest.raises(SourceUnavailableError):
        reader.take(10)

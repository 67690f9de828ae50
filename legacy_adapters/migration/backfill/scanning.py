"""Reads a store in chunks of changing sizes, over one scan wherever that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from legacy_adapters.base import Batch, LegacyAdapter, LegacyRecord

_LARGEST_PAGE: Final = 500


class Read(NamedTuple):
    """Some records and the cursor after them; ``is_last``: nothing comes after them."""

    records: tuple[LegacyRecord, ...]
    cursor: str | None
    is_last: bool


class Reader:
    """Reads from ``after`` (exclusive) to ``until`` (inclusive), whole pages of the scan.

    Only after a page is its cursor known, so a page is a chunk's smallest part. Chunks that become
    smaller than a page begin a new scan, with smaller ones.
    """

    def __init__(
        self,
        adapter: LegacyAdapter,
        *,
        after: str | None = None,
        until: str | None = None,
        since: datetime | None = None,
    ) -> None:
        self._adapter = adapter
        self._cursor = after
        self._until = until
        self._since = since
        self._page = 0
        self._pages: Iterator[Batch] = iter(())
        self._ahead: Batch | None = None

    def take(self, size: int) -> Read:
        """Return the next records, ``size`` at most; fewer, if the store's pages are so."""
        self._resize(size)
        records: list[LegacyRecord] = []
        # Never further than is wanted: a store that fails there has given what came before.
        while len(records) < size:
            page = self._peek()
            if page is None:
                return Read(records=tuple(records), cursor=self._cursor, is_last=True)
            if records and len(records) + len(page.records) > size:
                break
            self._ahead = None
            records += page.records
            self._cursor = page.cursor
        return Read(records=tuple(records), cursor=self._cursor, is_last=False)

    def close(self) -> None:
        """End the scan: what it holds open in the store is let go."""
        close = getattr(self._pages, "close", None)
        if close is not None:
            close()

    def _peek(self) -> Batch | None:
        if self._ahead is None:
            self._ahead = next(self._pages, None)
        return self._ahead

    def _resize(self, size: int) -> None:
        """Choose pages that fit into ``size``; many small ones for a large chunk cost time."""
        wanted = min(size, _LARGEST_PAGE)
        if self._page and wanted >= self._page and (wanted < self._page * 4):
            return
        self.close()
        self._ahead = None
        self._page = wanted
        self._pages = self._adapter.scan(
            self._cursor, until=self._until, since=self._since, batch_size=wanted
        )

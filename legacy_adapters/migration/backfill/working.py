"""One worker of a run: claims a slice, and imports it batch by batch until nothing is free."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from django.db import Error

from legacy_adapters.migration.backfill import runs, slices
from legacy_adapters.migration.backfill.chunks import Chunk
from legacy_adapters.migration.backfill.scanning import Reader
from legacy_adapters.migration.importing.garbage import collector_at_rest
from sessions_unified.exceptions import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.migration.backfill.chunks import Outcome
    from legacy_adapters.migration.backfill.pace import Throttle
    from legacy_adapters.migration.backfill.scanning import Read
    from legacy_adapters.models import BackfillRun, BackfillSlice
    from sessions_unified.tiers import Tiers
    from sessions_unified.upkeep.pacing import Ending, Pacer

logger = logging.getLogger(__name__)

_TRIES: Final = 3
_ROLLED_BACK: Final = "40"  # SQLSTATE class: a deadlock, or a serialization failure

WorkEnding = Literal["done", "limit"]


@dataclass(kw_only=True)
class Worker:
    """Who works, and how.

    Attributes:
        name: what its claims say; no other worker has it.
        limit: read so many records at most; None: all.
        most: take no slice while so many workers are at the run; None: however many.
        advance: told after each batch how many records it read.

    """

    run: BackfillRun
    adapter: LegacyAdapter
    tiers: Tiers
    name: str
    pacer: Pacer
    throttle: Throttle
    limit: int | None = None
    most: int | None = None
    advance: Callable[[int], object] = lambda _: None

    def __post_init__(self) -> None:
        self._part: BackfillSlice | None = None
        self._reader: Reader | None = None

    def work(self) -> Ending | WorkEnding:
        """Work until no slice is free (or the run is paused, or over), or the pacer ends it."""
        try:
            for size in self.pacer.sizes():
                if self._part is None and not self._claim():
                    return "done"
                self._batch(size if self.limit is None else min(size, self.limit))
                if self.limit == 0:
                    return "limit"
            return self.pacer.ended_by or "done"
        finally:
            self._leave()

    def _claim(self) -> bool:
        self._part = slices.claim(self.run, self.name, most=self.most)
        if self._part is None:
            runs.finish_if_done(self.run)  # who finished the last slice may have died since
            return False
        self._reader = Reader(
            self.adapter,
            after=runs.decode_key(self._part.cursor),
            until=runs.decode_key(self._part.upper),
            since=self.run.since,
        )
        return True

    def _batch(self, size: int) -> None:
        assert self._part is not None  # noqa: S101  (for the types)
        assert self._reader is not None  # noqa: S101
        with collector_at_rest():
            read = self._reader.take(size)
            chunk = Chunk.of(self.adapter, read.records)
            outcome = self._save(self._part, chunk, read)
        if outcome is None:
            logger.debug("Slice %s is not %s's any more", self._part.pk, self.name)
            self._leave()
            return
        number = len(read.records)
        self.throttle.spend(number)
        if self.limit is not None:
            self.limit -= number
        if read.is_last:
            self._leave()
            runs.finish_if_done(self.run)
        self.advance(number)

    def _save(self, part: BackfillSlice, chunk: Chunk, read: Read) -> Outcome | None:
        """Import and save; what the database undid to end a deadlock is done again."""
        for left in reversed(range(_TRIES)):
            try:
                return slices.save_batch(
                    part,
                    work=lambda: chunk.import_into(self.tiers),
                    cursor=read.cursor,
                    is_last=read.is_last,
                )
            except (Error, DatabaseUnavailableError) as exc:
                if not left or not _was_rolled_back(exc):
                    raise
        raise AssertionError

    def _leave(self) -> None:
        """Give back claim and scan; a claim that cannot be given back is soon too old to count."""
        part, reader, self._part, self._reader = self._part, self._reader, None, None
        if reader is not None:
            reader.close()
        if part is not None:
            with suppress(Error):
                slices.release(part)


def _was_rolled_back(exc: BaseException) -> bool:
    cause: BaseException | None = exc
    while cause is not None:
        if (getattr(cause, "sqlstate", None) or "").startswith(_ROLLED_BACK):
            return True
        cause = cause.__cause__
    return False

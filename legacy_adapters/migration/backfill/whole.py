"""The backfill without a run of its own: read a store from its beginning, keep no cursor.

The command uses it for dry runs only; tests and the benchmark import a whole store by it in one
call. Every record becomes a session, or a person learns why not; one transaction a batch: sessions,
their events, what was already paid, and the import records. A killed one leaves whole batches; the
next finds them unchanged and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration.backfill.chunks import Chunk
from legacy_adapters.migration.backfill.reporting import Report
from legacy_adapters.migration.backfill.scanning import Reader
from legacy_adapters.migration.importing.garbage import collector_at_rest
from sessions_unified.tiers import Tiers, get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter


def backfill(
    adapter: LegacyAdapter,
    *,
    batch_size: int = 500,
    limit: int | None = None,
    since: datetime | None = None,
    is_dry_run: bool = False,
    sizes: Iterable[int] | None = None,
    advance: Callable[[int], object] = lambda _: None,
    tiers: Tiers | None = None,
) -> Report:
    """Import what the store holds, ``limit`` records at most; return what became of them.

    ``sizes`` (a pacer's) decides each batch instead of ``batch_size``. A dry run undoes each batch;
    its counts are the real ones.

    Raises:
        SourceUnavailableError: the store did not answer.
        DatabaseUnavailableError: ours did not.

    """
    report, tiers = Report(), tiers or get_tiers()
    reader = Reader(adapter, since=since)
    try:
        for size in sizes if sizes is not None else iter(lambda: batch_size, 0):
            left = size if limit is None else min(size, limit - report.read)
            with collector_at_rest():
                read = reader.take(left)
                outcome = Chunk.of(adapter, read.records).import_into(tiers, is_dry_run=is_dry_run)
            report.add(outcome.tally, outcome.findings)
            if read.records:
                advance(len(read.records))
            if read.is_last or report.read == limit:
                break
    finally:
        reader.close()
    return report

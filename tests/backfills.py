"""Backfills for tests: legacy rows by the thousand, workers to be stepped, sums to be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Count

from legacy_adapters.migration.backfill.pace import Throttle
from legacy_adapters.migration.backfill.reporting import Report, tally_of
from legacy_adapters.migration.backfill.working import Worker
from legacy_adapters.models import BackfillSlice, ImportRecord
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep.pacing import Pacer

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.database.store import Table
    from legacy_adapters.models import BackfillRun


def put_many(table: Table, number: int) -> None:
    """Insert rows like `tests.legacy.row`: every seventh is unreadable, every tenth is paid."""
    sql = """
        INSERT INTO {} SELECT
            'ws_mwo5wwds_' || lpad(n::text, 7, '0'),
            CASE WHEN n %% 7 = 0 THEN 'x' ELSE 'ana' || n || '@example.org' END,
            '{{"firstName": "Ana"}}'::jsonb,
            '[{{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 1}}]'::jsonb,
            CASE WHEN n %% 10 = 0 THEN 'processing' ELSE 'pending' END,
            12.50,
            CASE WHEN n %% 10 = 0 THEN 'upsell-1' ELSE 'checkout' END,
            '{{}}', '{{}}',
            NULL,
            CASE WHEN n %% 10 = 0 THEN 't' || n END,
            NULL,
            '2026-11-19T23:09:26.128+00:00', '2026-11-19T23:30:24.379+00:00',
            '2999-11-20T23:09:26.128+00:00'
        FROM generate_series(1, %s) AS n
    """
    with connections[table.alias].cursor() as cursor:
        cursor.execute(sql.format(table.quoted), [number])


def readable(number: int) -> int:
    """Return how many of so many rows can become sessions."""
    return number - number // 7


def worker_of(
    run: BackfillRun, adapter: LegacyAdapter, name: str = "test", **changes: Any
) -> Worker:
    """Return a worker that never rests."""
    largest = changes.pop("size", run.batch_size)
    return Worker(
        run=run,
        adapter=adapter,
        tiers=get_tiers(),
        name=name,
        pacer=changes.pop("pacer", Pacer(largest=largest, batch_seconds=60, rests=False)),
        throttle=changes.pop("throttle", Throttle(None)),
        **changes,
    )


def assert_adds_up(run: BackfillRun) -> None:
    """Check that counts, findings, import records and events agree at any moment."""
    tally = tally_of(run)
    report = Report.of(run)
    imported = SessionEvent.objects.filter(kind="session_imported")
    assert tally.read == (
        tally.imported + tally.unchanged + tally.merged + tally.conflicting + tally.unreadable
    )
    assert ImportRecord.objects.filter(source=run.source).count() == tally.imported
    assert UnifiedSession.objects.count() == imported.count() == tally.imported
    assert not imported.values("session_id").annotate(n=Count("pk")).filter(n__gt=1).exists()
    assert len({each.id for each in report.unreadable}) == tally.unreadable


def cursors(run: BackfillRun) -> list[str | None]:
    """Return where each slice is."""
    parts = BackfillSlice.objects.filter(run=run).order_by("pk")
    return list(parts.values_list("cursor", flat=True))

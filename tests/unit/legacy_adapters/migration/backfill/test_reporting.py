"""A run's rate: from its beginning to its last batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from legacy_adapters.migration.backfill.reporting import rows_per_second
from legacy_adapters.models import BackfillRun

BEGUN = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("started_at", "last_at", "rate"),
    [
        (BEGUN, BEGUN + timedelta(seconds=10), 50.0),
        (BEGUN, BEGUN, None),
        (BEGUN, BEGUN - timedelta(seconds=1), None),
        (BEGUN, None, None),
        (None, BEGUN, None),
    ],
)
def test_rate(started_at: datetime | None, last_at: datetime | None, rate: float | None) -> None:
    run = BackfillRun(started_at=started_at, finished_at=BEGUN + timedelta(hours=1))

    assert rows_per_second(run, read=500, last_at=last_at) == rate

"""Comparisons for tests: reads that are compared, and what they come to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from django.db import connection

from legacy_adapters.migration.parity import pool
from legacy_adapters.migration.parity.tallies import COUNTS
from legacy_adapters.models import ParityMinute
from sessions_unified import get_manager
from tests.managing import wait_for

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot

FAST = {"STAGE_CACHE_SECONDS": 0, "RECHECK_SECONDS": 0.02}


def read(session_id: str, endpoint: str = "session.detail") -> SessionSnapshot:
    """Read a session as an endpoint does."""
    return get_manager(endpoint).get_session(session_id)


def totals() -> dict[str, int]:
    """Write what was noted; return all counts that are not zero."""
    pool.flush()
    found: Counter[str] = Counter()
    for row in ParityMinute.objects.all():
        found.update({name: getattr(row, name) for name in COUNTS})
    return {name: count for name, count in found.items() if count}


def wait_for_counts(**wanted: int) -> dict[str, int]:
    """Wait until these counts are reached; return all."""
    wait_for(lambda: all(totals().get(name, 0) >= count for name, count in wanted.items()))
    return totals()


def change_here(session_id: str, **columns: object) -> None:
    """Change our row behind the manager's back: a bug of the unified side."""
    settings = ", ".join(f"{name} = %s" for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE sessions_unified_unifiedsession SET {settings} WHERE id = %s",
            [*columns.values(), session_id],
        )
        assert cursor.rowcount == 1

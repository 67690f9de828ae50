"""``make soak``: a large backfill beside shoppers: flat memory, nobody kept waiting.

``SOAK_ROWS`` says how many rows. Written to ``build/soak-backfill.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from django.db import connection

from legacy_adapters.database.store import Table
from legacy_adapters.migration.backfill.reporting import tally_of
from legacy_adapters.models import BackfillRun, ImportRecord
from sessions_unified.manager import UnifiedSessionManager
from tests.backfills import put_many, readable
from tests.soak.memory import Memory
from tests.soak.report import BUILD, ROOT, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.memory import Growth

ROWS = int(os.environ.get("SOAK_ROWS", "1000000"))
WORKERS = 2
ALONE_SECONDS = 10
SHOPPERS_WAIT_MS = 250
"""What 99 of 100 operations stay below while the backfill runs."""
MEMORY_COUNTS_AFTER_SECONDS = 60
FIGURES = BUILD.with_name("soak-backfill.json")


class Shopper:
    """Starts sessions, changes and reads them, one after the other, and remembers how long."""

    def __init__(self) -> None:
        self._manager = UnifiedSessionManager()
        self.took: list[float] = []

    def shop(self) -> None:
        session = self._timed(lambda: self._manager.create_session(email="ana@example.org"))
        self._timed(lambda: self._manager.get_session(session.id, fresh=True))
        self._timed(lambda: self._manager.update_session(session.id, {"email": "b@example.org"}))
        self._timed(lambda: self._manager.delete_session(session.id))
        time.sleep(0.02)

    def figures(self) -> dict[str, float]:
        """Return milliseconds, and forget them."""
        cuts = quantiles(self.took, n=100)
        found = {"operations": len(self.took)}
        found |= {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}
        self.took.clear()
        return found

    def _timed(self, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        self.took.append(time.perf_counter() - began)
        return found


@pytest.fixture
def table(transactional_db: None, redis_flush: None) -> Iterator[Table]:
    table = Table(alias="default", name="funnel_sessions")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS funnel_sessions")
        cursor.execute(
            "CREATE TABLE funnel_sessions (id text PRIMARY KEY, email text, customer_info jsonb, "
            "products jsonb, status text, amount numeric, current_step text, "
            "upsells_accepted text[], upsells_declined text[], vault_id text, "
            "transaction_id text, payment_token text, created_at timestamptz, "
            "updated_at timestamptz, expires_at timestamptz)"
        )
    put_many(table, ROWS)
    yield table
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE funnel_sessions")


@pytest.mark.soak
def test_a_large_backfill_beside_shoppers(table: Table, site_env: dict[str, str]) -> None:
    shopper, memory = Shopper(), Memory()
    until = time.monotonic() + ALONE_SECONDS
    while time.monotonic() < until:
        shopper.shop()
    alone = shopper.figures()

    began = time.monotonic()
    argv = [sys.executable, "manage.py", "backfill_sessions", "--source=database"]
    with subprocess.Popen(
        [*argv, f"--workers={WORKERS}"], cwd=ROOT, env=site_env, stdout=subprocess.DEVNULL
    ) as command:
        sampled_at = 0.0
        while command.poll() is None:
            shopper.shop()
            if time.monotonic() - sampled_at >= 1:
                sampled_at = time.monotonic()
                memory.sample(family(command.pid), at=sampled_at)
    seconds = time.monotonic() - began

    run = BackfillRun.objects.get()
    grown = memory.growth(began=began, ended=began + seconds)
    found = figures(run, seconds, alone, shopper.figures(), memory, grown)
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))

    tally = tally_of(run)
    assert (command.returncode, run.state) == (0, "finished")
    assert (tally.read, tally.imported) == (ROWS, readable(ROWS))
    assert ImportRecord.objects.count() == readable(ROWS)
    assert found["shoppers"]["p99_ms"] <= SHOPPERS_WAIT_MS
    if seconds >= MEMORY_COUNTS_AFTER_SECONDS:
        assert grown
        assert all(each.is_flat for each in grown), grown


def family(pid: int) -> dict[str, list[psutil.Process]]:
    """Return the processes of the command by what they do."""
    try:
        parent = psutil.Process(pid)
        children = parent.children()
        workers = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    except psutil.Error:
        return {}
    return {"parent": [parent], "worker": workers}


def figures(
    run: BackfillRun,
    seconds: float,
    alone: dict[str, float],
    beside: dict[str, float],
    memory: Memory,
    grown: list[Growth],
) -> dict[str, Any]:
    """Return what was measured."""
    return {
        "machine": machine(),
        "rows": ROWS,
        "workers": WORKERS,
        "seconds": round(seconds, 1),
        "rows_per_second": round(tally_of(run).read / seconds),
        "shoppers_alone": alone,
        "shoppers": beside,
        "most_mb": memory.most(),
        "grown_mb": [{each.name: each.grown_mb, "in_seconds": each.seconds} for each in grown],
    }

"""Expiry and purge by the hundred thousand: ``cleanup_sessions`` against the bare SQL."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final

from django.core.management import call_command

from sessions_unified.conf import get_conf
from sessions_unified.tiers.rows import BLANK, EVENTS, SESSIONS
from tests.benchmarks import loading
from tests.benchmarks.measuring import Measured
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import WrongTierError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench

_EXPIRE: Final = f"""
    WITH changed AS (
        UPDATE {SESSIONS} SET status = 'expired', payment_token = NULL, version = version + 1,
               updated_at = now()
        WHERE deleted_at IS NULL AND status NOT IN ('completed', 'expired') AND holds = 0
          AND expires_at <= now()
        RETURNING id, version
    )
    INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
    SELECT id, version, 'session_expired', '["status"]', '{{"status": ["pending", "expired"]}}',
           'system', now() FROM changed
"""
_PURGE: Final = f"""
    WITH due AS (
        SELECT id FROM {SESSIONS}
        WHERE deleted_at IS NULL AND status IN ('completed', 'expired') AND holds = 0
          AND updated_at <= %s AND expires_at <= now()
        ORDER BY updated_at LIMIT %s FOR UPDATE SKIP LOCKED
    ), changed AS (
        UPDATE {SESSIONS} AS s SET {BLANK}, deleted_at = now(), updated_at = now(),
               version = s.version + 1
        FROM due WHERE s.id = due.id RETURNING s.id, s.version
    )
    INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
    SELECT id, version, 'session_purged', '[]', '{{}}', 'system', now() FROM changed
"""


@row(
    operation="cleanup_sessions --no-pace: expire 1,000,000 due sessions in batches, with events",
    baseline="one CTE of the same",
    target=1.2,
)
def expire(bench: Bench) -> Measured:
    def clean() -> None:
        call_command("cleanup_sessions", "--no-pace", "--no-purge", stdout=io.StringIO())

    def bare() -> None:
        bench.database.execute(_EXPIRE)

    return _rates(bench, loading.PENDING_AND_DUE, "status = 'expired'", clean, bare)


@row(
    operation="cleanup_sessions --no-pace: purge 1,000,000 sessions to tombstones",
    baseline="the same batched SQL, bare",
    target=1.1,
)
def purge(bench: Bench) -> Measured:
    def clean() -> None:
        call_command("cleanup_sessions", "--no-pace", stdout=io.StringIO())

    def bare() -> None:
        (before,) = bench.database.execute("SELECT now() - interval '90 days'").fetchone()
        while bench.database.execute(_PURGE, (before, get_conf().CLEANUP_BATCH_SIZE)).rowcount:
            pass

    return _rates(bench, loading.EXPIRED_LONG_AGO, "deleted_at IS NOT NULL", clean, bare)


def _rates(
    bench: Bench,
    what: dict[str, str],
    done: str,
    clean: Callable[[], None],
    bare: Callable[[], None],
) -> Measured:
    _ = bench.all_tiers  # what is gone is said to an L1 that listens
    ours, theirs = (_rate(bench, what, done, work) for work in (clean, bare))
    loading.truncate(bench.database)
    return Measured(p50_us=ours, p99_us=ours, baseline_p50_us=theirs)


def _rate(bench: Bench, what: dict[str, str], done: str, work: Callable[[], None]) -> float:
    """Return the µs a row; nothing else is in the tables."""
    loading.truncate(bench.database)
    loading.load(bench.database, bench.bulk_rows, what)
    began = time.perf_counter()
    work()
    spent = time.perf_counter() - began
    finished = loading.count(bench.database, done)
    if finished != bench.bulk_rows:
        raise WrongTierError(f"{finished} of {bench.bulk_rows} sessions were handled.")
    return spent / bench.bulk_rows * 1e6

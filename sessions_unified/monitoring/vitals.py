"""Facts about the whole deployment, each by one cheap question: what waits, and what lags.

For `exposition`, `readiness` and `doctor`. Nothing here scans a table: counts stop at a limit, and
statements at `STATEMENT_SECONDS`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connections, transaction

from sessions_unified import event_log
from sessions_unified.conf import get_conf
from sessions_unified.models import LogCursor
from sessions_unified.relay import consumers_of
from sessions_unified.tiers.rows import SESSIONS
from sessions_unified.upkeep.sweeping import due_condition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.redis import RedisTier

STATEMENT_SECONDS: Final = 1.0
COUNT_LIMIT: Final = 10_000
"""Counts stop here: beyond it the exact number changes nothing that anyone does."""


class Backlog(NamedTuple):
    """Work that waits: how much, and for how many seconds the oldest has."""

    number: int
    oldest_seconds: float


@contextmanager
def short_statements(alias: str) -> Iterator[Any]:
    """Yield a cursor; until the end, the statements of this connection are short or fail."""
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_SECONDS * 1000:.0f}")
        yield cursor


def is_writable(cursor: Any) -> bool:
    """Ask the database whether it takes writes; a standby, or one that has failed over, does not.

    As good as ``SELECT 1`` to see whether it answers, and says more in the same round trip.
    """
    cursor.execute(
        "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool"
    )
    return bool(cursor.fetchone()[0])


def expiry_backlog(tiers: Tiers) -> Backlog:
    """Return the sessions that are past their end and not settled yet; `COUNT_LIMIT` at most."""
    condition, params = due_condition(get_conf())
    now = tiers.clock.now()
    sql = (
        f"SELECT count(*), min(expires_at) FROM (SELECT expires_at FROM {SESSIONS} "  # noqa: S608  (our own names)
        f"WHERE {condition} ORDER BY expires_at LIMIT %(limit)s) AS due"
    )
    with connections[tiers.database.alias].cursor() as cursor:
        cursor.execute(sql, params | {"now": now, "limit": COUNT_LIMIT})
        count, oldest = cursor.fetchone()
    return Backlog(count, (now - oldest).total_seconds() if count else 0.0)


def relay_lags(tiers: Tiers) -> dict[str, event_log.Lag]:
    """Return how far each consumer of the event log is behind, the ones that never ran too.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    cursors = LogCursor.objects.using(tiers.database.alias).values_list("consumer", flat=True)
    names = {*cursors, *(consumer.name for consumer in consumers_of(tiers))}
    return {name: event_log.lag(name) for name in sorted(names)}


def pending_touches(redis: RedisTier, now: datetime) -> Backlog:
    """Return the touches that are not flushed yet.

    Raises:
        TierUnavailableError: Redis did not answer.

    """
    key = f"{get_conf().KEY_PREFIX}:touches"

    def ask(client: Any) -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.zcard(key)
        pipeline.zrange(key, 0, 0, withscores=True)
        return pipeline.execute()

    count, first = redis.call(ask)
    return Backlog(count, max(0.0, now.timestamp() - first[0][1]) if first else 0.0)

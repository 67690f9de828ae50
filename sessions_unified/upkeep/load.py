"""How busy the database is, as a shopper would feel it; what a pacer watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from django.db import connections

from sessions_unified.tiers.rows import COLUMNS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.tiers import Tiers

# Advisory locks of two numbers share nothing with those of one, which sessions are locked by.
LOCKS: Final = 730_551
HOLD: Final = 0

# A read slower than so many times the best one seen here is a sign; within 2 ms it never is, and
# from 50 ms on it always is.
_SLOW_TIMES: Final = 4
_NEVER_SLOW_SECONDS: Final = 0.002
_ALWAYS_SLOW_SECONDS: Final = 0.05
_FORGETTING: Final = 1.005
_READS: Final = 3
_MANY_WAITING: Final = 3
_MANY_ACTIVE: Final = 32


class Condition(NamedTuple):
    """What a pacer must know of the database.

    ``trouble`` says in words what keeps it busy; None: it is healthy.
    """

    is_held: bool = False
    trouble: str | None = None


class Latency:
    """The best latency known of a thing, and whether another is much worse.

    What was best is forgotten slowly, so that a database that has become slower for good is not
    called busy for ever.
    """

    def __init__(self) -> None:
        self.best: float | None = None

    def is_slow(self, seconds: float) -> bool:
        """Judge ``seconds`` by the best known, and learn from it."""
        best = seconds if self.best is None else self.best
        self.best = min(best * _FORGETTING, seconds)
        return seconds > _ALWAYS_SLOW_SECONDS or (
            seconds > _NEVER_SLOW_SECONDS and seconds > best * _SLOW_TIMES
        )


# By database alias: what was best is known to the whole process, not only to one run.
_latencies: dict[str, Latency] = {}

_NEWEST: Final = f"SELECT {COLUMNS} FROM {SESSIONS} ORDER BY created_at DESC LIMIT 1"
_OTHERS: Final = """
    SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'),
           count(*) FILTER (WHERE state = 'active'),
           current_setting('max_connections')::int,
           pg_try_advisory_xact_lock_shared(%s, %s)
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
"""


def observe_database(
    tiers: Tiers, *, perf_counter: Callable[[], float] = time.perf_counter
) -> Condition:
    """Return how the database is, as a shopper feels it: a point read, and who else waits.

    Costs about a millisecond. The median of three reads, so that one hiccup is no sign.

    Raises:
        DatabaseUnavailableError: it did not answer.

    """
    alias = tiers.database.alias
    with tiers.database.transaction(), connections[alias].cursor() as cursor:
        cursor.execute(_OTHERS, [LOCKS, HOLD])
        waiting, active, connections_allowed, is_free = cursor.fetchone()
        reads = []
        for _ in range(_READS):
            began = perf_counter()
            cursor.execute(_NEWEST)
            cursor.fetchone()
            reads.append(perf_counter() - began)
    read_seconds = sorted(reads)[_READS // 2]
    latency = _latencies.setdefault(alias, Latency())
    best = latency.best or read_seconds
    trouble = None
    if latency.is_slow(read_seconds):
        trouble = f"a read takes {read_seconds * 1000:.1f} ms, at best {best * 1000:.1f}"
    elif waiting >= _MANY_WAITING:
        trouble = f"{waiting} connections wait for locks"
    elif active >= min(_MANY_ACTIVE, connections_allowed // 4):
        trouble = f"{active} connections are active"
    return Condition(is_held=not is_free, trouble=trouble)

"""The process's database pool as metrics: how many wait, how many had to, for how long."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from django.core.signals import request_finished
from django.db import connections

from sessions_unified import metrics
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERY_SECONDS: Final = 1.0

_counting = threading.Lock()
_counted: weakref.WeakKeyDictionary[Any, Mapping[str, int]] = weakref.WeakKeyDictionary()
_next_at = float("-inf")


def get_pool() -> Any:
    """Return this process's connection pool; None where there is none."""
    return getattr(connections[get_conf().DATABASE_ALIAS], "pool", None)


def count_pool() -> None:
    """Hand the pool's numbers over to the metrics: what came since the last time."""
    pool = get_pool()
    if pool is None or not _counting.acquire(blocking=False):
        return
    try:
        stats: Mapping[str, int] = pool.get_stats()
        before: Mapping[str, int] = _counted.get(pool, {})
        _counted[pool] = stats
    finally:
        _counting.release()

    def more(name: str) -> int:
        return max(0, stats.get(name, 0) - before.get(name, 0))

    metrics.POOL_WAITS.inc(more("requests_queued"))
    metrics.POOL_WAIT_SECONDS.inc(more("requests_wait_ms") / 1000)
    metrics.POOL_TIMEOUTS.inc(more("requests_errors"))
    _set_gauges(stats)


def _set_gauges(stats: Mapping[str, int]) -> None:
    size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
    metrics.POOL_WAITING.set(stats.get("requests_waiting", 0))
    metrics.POOL_CONNECTIONS.labels("used").set(size - idle)
    metrics.POOL_CONNECTIONS.labels("idle").set(idle)
    metrics.POOL_CONNECTIONS.labels("free").set(max(0, stats.get("pool_max", 0) - size))


def _after_request(**_: object) -> None:
    """Count now and then: each process knows its own pool only, and one of them is scraped."""
    global _next_at  # noqa: PLW0603
    now = time.monotonic()
    if now >= _next_at:
        _next_at = now + _EVERY_SECONDS
        count_pool()


request_finished.connect(_after_request, dispatch_uid="sessions_unified.monitoring.pool_stats")

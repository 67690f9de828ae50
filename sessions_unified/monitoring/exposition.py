"""What ``/metrics`` serves: what all processes counted, and gauges that are measured now.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set, any process answers for all that share it. A scrape
never fails because a tier does: what could not be measured is left out, and
``sessions_unified_tier_up`` is 0.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from sessions_unified import event_log, metrics
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.monitoring import vitals
from sessions_unified.monitoring.measuring import Kept
from sessions_unified.monitoring.pool_stats import count_pool
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from sessions_unified.metrics import Measured
    from sessions_unified.tiers import Tiers

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
KEEP_SECONDS: Final = 5
PATIENCE_SECONDS: Final = 2
_LIVE_FILE: Final = re.compile(r"gauge_live[a-z]+_(\d+)\.db")
_ATTEMPTS: Final = 3

Samples = list[tuple["Measured", tuple[str, ...], float]]


def exposition() -> bytes:
    """Return the metrics in Prometheus' text format, of type `CONTENT_TYPE`."""
    memory = get_tiers().memory
    if memory is not None:
        memory.drain_metrics()
    count_pool()
    measured = CollectorRegistry(auto_describe=False)
    measured.register(_MeasuredNow())
    return counted() + generate_latest(measured)


def counted() -> bytes:
    """Return what this process has counted, or all that share a directory."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    _forget_the_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    # A process that begins or ends makes and removes files meanwhile: read them again.
    for _ in range(_ATTEMPTS - 1):
        with suppress(OSError, ValueError, RuntimeError, struct.error):
            return generate_latest(registry)
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """Remove the gauges of processes that are gone; what they counted stays.

    A hook at a worker's end would miss those that are killed, and every ``manage.py``.
    """
    for path in folder.glob("gauge_live*.db"):
        found = _LIVE_FILE.fullmatch(path.name)
        if found is not None and not _is_running(int(found[1])):
            with suppress(FileNotFoundError):  # another scrape was faster
                mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


class _MeasuredNow:
    """The gauges of `metrics.Measured`, each with what is known of it now."""

    def collect(self) -> Iterator[Metric]:
        samples: Samples = [(metrics.STALENESS_BOUND, (), get_conf().STALENESS_BOUND_SECONDS)]
        samples += _of_tier("database", _database)
        if get_tiers().redis is not None:
            samples += _of_tier("redis", _redis)
        skew = getattr(get_tiers().clock, "skew_seconds", None)
        if skew is not None:
            samples.append((metrics.CLOCK_SKEW, (), skew))
        return _families(samples)


def _of_tier(tier: str, kept: Kept[Samples | None]) -> Samples:
    found = kept.get()
    return [(metrics.TIER_UP, (tier,), float(found is not None)), *(found or [])]


def _families(samples: Iterable[tuple[Measured, tuple[str, ...], float]]) -> Iterator[Metric]:
    families = {}
    for measured, labels, value in samples:
        if measured.name not in families:
            families[measured.name] = measured.family()
        families[measured.name].add_metric(labels, value)
    yield from families.values()


def _ask_database() -> Samples | None:
    alias = get_conf().DATABASE_ALIAS
    samples: Samples = []
    try:
        with vitals.short_statements(alias) as cursor:
            samples.append((metrics.DATABASE_WRITABLE, (), float(vitals.is_writable(cursor))))
    except DatabaseError:
        return None
    for ask in ASKS:
        # One that takes too long, on a log of many millions, costs the others nothing.
        with suppress(DatabaseError, TierUnavailableError), vitals.short_statements(alias):
            samples += ask(get_tiers())
    return samples


def _expiry(tiers: Tiers) -> Samples:
    due = vitals.expiry_backlog(tiers)
    return [
        (metrics.EXPIRY_BACKLOG, (), due.number),
        (metrics.EXPIRY_OLDEST, (), due.oldest_seconds),
    ]


def _relay(tiers: Tiers) -> Samples:
    samples: Samples = []
    for consumer, lag in vitals.relay_lags(tiers).items():
        samples.append((metrics.RELAY_LAG_SECONDS, (consumer,), lag.seconds))
        samples.append((metrics.RELAY_LAG_EVENTS, (consumer,), lag.events))
    return samples


def _holder(tiers: Tiers) -> Samples:
    holder = event_log.held_back_by()
    return [(metrics.RELAY_HELD_SECONDS, (), holder.seconds if holder else 0.0)]


def _ask_redis() -> Samples | None:
    tiers = get_tiers()
    assert tiers.redis is not None  # noqa: S101  (asked only where there is one)
    try:
        touches = vitals.pending_touches(tiers.redis, tiers.clock.now())
    except TierUnavailableError:
        return None
    return [
        (metrics.TOUCHES_PENDING, (), touches.number),
        (metrics.TOUCHES_OLDEST, (), touches.oldest_seconds),
    ]


# What the database is asked for at a scrape. An app may append its own in ``AppConfig.ready``.
ASKS: Final[list[Callable[[Tiers], Samples]]] = [_expiry, _relay, _holder]

_database = Kept(_ask_database, keep_seconds=KEEP_SECONDS, patience_seconds=PATIENCE_SECONDS)
_redis = Kept(_ask_redis, keep_seconds=KEEP_SECONDS, patience_seconds=PATIENCE_SECONDS)

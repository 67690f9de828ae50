"""The three tiers of this process, built once from the settings."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from sessions_unified.clock import Clock, get_clock
from sessions_unified.conf import Conf, get_conf
from sessions_unified.singleflight import SingleFlight
from sessions_unified.tiers.base import Copy, Tier
from sessions_unified.tiers.breaker import CircuitBreaker
from sessions_unified.tiers.channel import InvalidationChannel
from sessions_unified.tiers.database import DatabaseTier
from sessions_unified.tiers.memory import MemoryTier
from sessions_unified.tiers.redis import RedisTier

__all__ = ["Copy", "Tier", "Tiers", "get_tiers"]


@dataclass(kw_only=True)
class Tiers:
    """What the managers of one process share.

    Attributes:
        memory: L1; None where there is no way to invalidate it.
        redis: L2; None where the cache is not a django-redis one.
        database: L3, the truth.
        clock: the database's time.
        flights: the loads under way.
        channel: what keeps L1 honest.

    """

    memory: MemoryTier | None
    redis: RedisTier | None
    database: DatabaseTier
    clock: Clock
    flights: SingleFlight[Copy]
    channel: InvalidationChannel | None = field(default=None)

    @property
    def all(self) -> tuple[Tier, ...]:
        """The tiers that exist, fastest first."""
        present = (self.memory, self.redis, self.database)
        return tuple(tier for tier in present if tier is not None)


def build_tiers(conf: Conf, clock: Clock) -> Tiers:
    """Return tiers of their own, as a process has them; tests build two to play two processes."""
    second = _build_redis(conf, clock)
    channel = None
    if second is not None and not conf.SINGLE_PROCESS:
        channel = InvalidationChannel(
            redis_tier=second,
            prefix=conf.KEY_PREFIX,
            heartbeat_seconds=conf.HEARTBEAT_SECONDS,
            timeout_seconds=conf.HEARTBEAT_TIMEOUT_SECONDS,
        )
    first = None
    if conf.L1_ENABLED and (channel is not None or conf.SINGLE_PROCESS):
        first = MemoryTier(
            clock=clock,
            max_entries=conf.L1_MAX_ENTRIES,
            staleness_bound_seconds=conf.STALENESS_BOUND_SECONDS,
            is_live=channel.is_alive if channel is not None else lambda: True,
        )
    if channel is not None:
        channel.memory = first
    return Tiers(
        memory=first,
        redis=second,
        database=DatabaseTier(clock=clock, alias=conf.DATABASE_ALIAS),
        clock=clock,
        flights=SingleFlight(patience_seconds=conf.LEASE_SECONDS),
        channel=channel,
    )


def _build_redis(conf: Conf, clock: Clock) -> RedisTier | None:
    chosen: dict[str, Any] = settings.CACHES.get(conf.CACHE_ALIAS, {})
    if not chosen.get("BACKEND", "").startswith("django_redis."):
        return None
    return RedisTier(
        clock=clock,
        alias=conf.CACHE_ALIAS,
        prefix=conf.KEY_PREFIX,
        staleness_bound_seconds=conf.STALENESS_BOUND_SECONDS,
        lease_seconds=conf.LEASE_SECONDS,
        breaker=CircuitBreaker(
            failures=conf.BREAKER_FAILURES, reset_seconds=conf.BREAKER_RESET_SECONDS
        ),
    )


_built: Tiers | None = None
_building = threading.Lock()


def get_tiers() -> Tiers:
    """Return this process's tiers: one L1, however many threads ask first."""
    global _built  # noqa: PLW0603
    tiers = _built
    if tiers is None:
        with _building:
            tiers = _built = _built or build_tiers(get_conf(), get_clock())
    return tiers


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SESSIONS_UNIFIED", "CACHES", "DATABASES"}:
        reset_tiers()


def reset_tiers() -> None:
    """Drop this process's tiers: the next use builds them again."""
    global _built
    tiers, _built = _built, None
    if tiers is not None and tiers.channel is not None:
        tiers.channel.stop()


def _start_afresh() -> None:
    global _built, _building
    _built, _building = None, threading.Lock()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.tiers")
# A child inherits copies but not the thread that invalidates them.
os.register_at_fork(after_in_child=_start_afresh)

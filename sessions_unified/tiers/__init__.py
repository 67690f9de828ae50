"""The three tiers of this process, built once from the settings."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed

from sessions_unified.clock import Clock, get_clock
from sessions_unified.conf import Conf, get_conf
from sessions_unified.tiers.base import Copy, Tier
from sessions_unified.tiers.breaker import CircuitBreaker
from sessions_unified.tiers.channel import InvalidationChannel
from sessions_unified.tiers.database import DatabaseTier
from sessions_unified.tiers.memory import MemoryTier
from sessions_unified.tiers.redis import RedisTier
from sessions_unified.tiers.singleflight import SingleFlight
from sessions_unified.tiers.watch import Watch

if TYPE_CHECKING:
    from sessions_unified.tiers.budget import Budget

__all__ = ["Copy", "Tier", "Tiers", "get_tiers"]


class Loaded(NamedTuple):
    """A copy, the tier that had it, and why the answer is degraded, if it is."""

    copy: Copy
    tier: str
    degraded: frozenset[str] = frozenset()


@dataclass(kw_only=True, eq=False)
class Tiers:
    """What the managers of one process share.

    Attributes:
        memory: L1; None where there is no way to invalidate it.
        redis: L2; None where the cache is not a django-redis one.
        database: L3, the truth.
        clock: the database's time.
        flights: the loads under way.
        channel: what keeps L1 honest.
        watch: what looks after the process; None in tiers that are not the process's own.

    """

    memory: MemoryTier | None
    redis: RedisTier | None
    database: DatabaseTier
    clock: Clock
    flights: SingleFlight[Loaded]
    channel: InvalidationChannel | None = field(default=None)
    watch: Watch | None = field(default=None)

    @property
    def all(self) -> tuple[Tier, ...]:
        """The tiers that exist, fastest first."""
        present = (self.memory, self.redis, self.database)
        return tuple(tier for tier in present if tier is not None)

    def within(self, budget: Budget) -> Tiers:
        """Return the same tiers, whose waiting for Redis is taken from ``budget``."""
        if self.redis is None:
            return self
        bounded = object.__new__(type(self))  # as dataclasses.replace, in a fifth of its time
        bounded.__dict__.update(self.__dict__, redis=self.redis.within(budget))
        return bounded

    def start(self) -> None:
        """Start the threads of the process, unless they run."""
        if self.channel is not None:
            self.channel.start()
        if self.watch is not None:
            self.watch.start()

    def stop(self) -> None:
        """Stop the threads and close what they leave; L1 is bypassed from now on."""
        for part in (self.channel, self.watch):
            if part is not None:
                part.stop()
        if self.redis is not None:
            self.redis.close()

    def start_afresh(self) -> None:
        """Forget, in a child after fork, what only the parent's threads kept true."""
        parts = (self.memory, self.redis, self.database, self.flights, self.channel, self.watch)
        for part in parts:
            if part is not None:
                part.start_afresh()


def build_tiers(conf: Conf, clock: Clock) -> Tiers:
    """Return tiers of their own, as a process has them; tests build two to play two processes."""
    second = _build_redis(conf, clock)
    first = channel = None
    if conf.L1_ENABLED and (second is not None or conf.SINGLE_PROCESS):
        first = MemoryTier(
            clock=clock,
            max_entries=conf.L1_MAX_ENTRIES,
            max_bytes=conf.L1_MAX_BYTES,
            staleness_bound_seconds=conf.STALENESS_BOUND_SECONDS,
            live_until=float("inf" if conf.SINGLE_PROCESS else "-inf"),
        )
    if first is not None and second is not None and not conf.SINGLE_PROCESS:
        channel = InvalidationChannel(
            redis_tier=second,
            memory=first,
            prefix=conf.KEY_PREFIX,
            heartbeat_seconds=conf.HEARTBEAT_SECONDS,
            timeout_seconds=conf.HEARTBEAT_TIMEOUT_SECONDS,
            elapsed=clock.elapsed,
        )
    tiers = Tiers(
        memory=first,
        redis=second,
        database=DatabaseTier(
            clock=clock,
            alias=conf.DATABASE_ALIAS,
            breaker=_breaker(conf, "database"),
            prepares=conf.PREPARED_STATEMENTS,
        ),
        clock=clock,
        flights=SingleFlight(patience_seconds=conf.LEASE_SECONDS),
        channel=channel,
    )
    _all_built.add(tiers)
    return tiers


def _breaker(conf: Conf, tier: str) -> CircuitBreaker:
    return CircuitBreaker(
        failures=conf.BREAKER_FAILURES, reset_seconds=conf.BREAKER_RESET_SECONDS, tier=tier
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
        breaker=_breaker(conf, "redis"),
        pool_size=conf.REDIS_POOL_SIZE,
        probe_seconds=conf.REDIS_BUDGET_MS / 1000 / 2,
    )


_all_built: weakref.WeakSet[Tiers] = weakref.WeakSet()
_built: Tiers | None = None
_building = threading.Lock()


def get_tiers() -> Tiers:
    """Return this process's tiers: one L1, however many threads ask first."""
    global _built  # noqa: PLW0603
    tiers = _built
    if tiers is None:
        with _building:
            if _built is None:
                tiers = build_tiers(get_conf(), get_clock())
                tiers.watch = Watch(tiers, seconds=get_conf().WATCH_SECONDS)
                _built = tiers
            tiers = _built
    return tiers


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SESSIONS_UNIFIED", "CACHES", "DATABASES"}:
        reset_tiers()


def reset_tiers() -> None:
    """Drop this process's tiers: the next use builds them again."""
    global _built
    tiers, _built = _built, None
    if tiers is not None:
        tiers.stop()


def _after_fork() -> None:
    global _building  # noqa: PLW0603
    _building = threading.Lock()
    for tiers in _all_built:
        tiers.start_afresh()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.tiers")
# A child inherits copies, but not the thread that invalidates them.
os.register_at_fork(after_in_child=_after_fork)

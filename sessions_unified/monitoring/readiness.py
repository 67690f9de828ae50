"""Whether this process should be sent shoppers, for ``/readyz``.

Not ready is only what this process alone has, and what sending its shoppers elsewhere mends: keys
that do not work, or a database older than its code. A server that all processes share makes it
*degraded* and leaves it ready: taking every process away would turn "slower" into "gone", and a
process whose database is away still answers reads from its caches
(docs/explanation/health.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
from django.db import Error as DatabaseError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import SessionsUnifiedError, TierUnavailableError
from sessions_unified.monitoring import vitals
from sessions_unified.monitoring.key_check import check_token_keys
from sessions_unified.monitoring.measuring import Kept
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.tiers.channel import InvalidationChannel

OK: Final = "ok"
DEGRADED: Final = "degraded"
FAILED: Final = "failed"

# However many probes ask, a server is asked once in this time; and a probe's own time is 1 s.
KEEP_SECONDS: Final = 1
PATIENCE_SECONDS: Final = 0.4


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check: ``ok``, ``degraded`` or ``failed``; how long it took in ms; what is amiss."""

    status: str
    ms: float | None = None
    reason: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The worst status of all checks, and each by its name."""

    status: str
    checks: dict[str, Check]

    @property
    def is_ready(self) -> bool:
        """Whether this process can serve shoppers, degraded or not."""
        return self.status != FAILED


def readiness() -> Readiness:
    """Look at this process and its servers; takes a second at most, whatever hangs."""
    checks = {"keys": _timed(_keys), "memory": _timed(_memory)}
    checks |= _database.get() or {"database": Check(status=DEGRADED, reason="no answer in time")}
    if get_tiers().redis is not None:
        checks["redis"] = _redis.get() or Check(status=DEGRADED, reason="no answer in time")
    found = {check.status for check in checks.values()}
    worst = next(status for status in (FAILED, DEGRADED, OK) if status in found)
    return Readiness(status=worst, checks=checks)


def _timed(check: Callable[[], Check]) -> Check:
    before = time.perf_counter()
    found = check()
    ms = round((time.perf_counter() - before) * 1000, 2)
    return msgspec.structs.replace(found, ms=ms)


def _keys() -> Check:
    """Issue a token and open it, where this site has keys."""
    if not get_conf().TOKEN_KEYS:
        return Check(status=OK, reason="none are set: no tokens")
    try:
        check_token_keys()
    except (SessionsUnifiedError, ValueError):
        return Check(status=FAILED, reason="tokens cannot be issued and opened")
    return Check(status=OK)


def _memory() -> Check:
    tiers = get_tiers()
    if tiers.memory is None:
        return Check(status=OK, reason="off")
    return Check(status=OK) if tiers.channel is None else _channel.check(tiers.channel)


class _Channel:
    """Whether L1's channel is proven; one that this process has only begun is given its time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._begun: InvalidationChannel | None = None
        self._grace_ends_at = 0.0

    def check(self, channel: InvalidationChannel) -> Check:
        if self._begun is not channel:
            self._begun = channel
            self._grace_ends_at = self._monotonic() + get_conf().HEARTBEAT_TIMEOUT_SECONDS
        if channel.is_alive():  # starts it
            self._grace_ends_at = 0.0
            return Check(status=OK)
        if self._monotonic() < self._grace_ends_at:
            return Check(status=OK, reason="its invalidation channel has just begun")
        return Check(status=DEGRADED, reason="bypassed: its invalidation channel is not proven")


_channel = _Channel()


class _Schema:
    """Whether the database is as new as this code; once it is, that stays so."""

    is_current = False

    def check(self, alias: str) -> Check:
        if not self.is_current:
            executor = MigrationExecutor(connections[alias])
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
            if missing:
                return Check(status=FAILED, reason=f"{len(missing)} migrations are not applied")
            self.is_current = True
        return Check(status=OK)


_schema = _Schema()


def _ask_database() -> dict[str, Check]:
    alias = get_conf().DATABASE_ALIAS

    def ask() -> Check:
        with vitals.short_statements(alias) as cursor:
            if not vitals.is_writable(cursor):
                return Check(status=DEGRADED, reason="read-only")
        return Check(status=OK)

    try:
        database = _timed(ask)
        with vitals.short_statements(alias):
            return {"database": database, "schema": _timed(lambda: _schema.check(alias))}
    except DatabaseError:
        return {"database": Check(status=DEGRADED, reason="it does not answer")}


def _ask_redis() -> Check:
    def ask() -> Check:
        tier = get_tiers().redis
        if tier is not None:
            tier.call(lambda client: client.ping())
        return Check(status=OK)

    try:
        return _timed(ask)
    except TierUnavailableError:
        return Check(status=DEGRADED, reason="it does not answer")


_database = Kept(_ask_database, keep_seconds=KEEP_SECONDS, patience_seconds=PATIENCE_SECONDS)
_redis = Kept(_ask_redis, keep_seconds=KEEP_SECONDS, patience_seconds=PATIENCE_SECONDS)

"""The core's settings: one typed view of ``settings.SESSIONS_UNIFIED``, read live."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    """What a site may set in ``SESSIONS_UNIFIED``; every key is optional.

    Attributes:
        MANAGER: dotted path of the manager class.
        FLOW: dotted path of a callable returning the legal moves (`sessions_unified.flow.Flow`).
        PRICER: dotted path of a callable pricing products; None: the API refuses ``products``.
        CLOCK: dotted path of the clock class (`sessions_unified.clock.Clock`).
        DATABASE_ALIAS: the ``DATABASES`` alias of the durable tier.
        CACHE_ALIAS: the ``CACHES`` alias of a django-redis cache; another backend: no L2.
        KEY_PREFIX: what every Redis key and channel of ours begins with.
        L1_ENABLED: keep copies in this process, while its invalidation channel is alive.
        L1_MAX_ENTRIES: how many copies at most; one not used lately goes first.
        L1_MAX_BYTES: how much memory the copies may take, by a close estimate.
        SINGLE_PROCESS: this deployment has one process, so L1 may serve without Redis.
        STALENESS_BOUND_SECONDS: no tier serves a copy older than this.
        LEASE_SECONDS: how long a cache miss may take to fill.
        HEARTBEAT_SECONDS: how often the invalidation channel proves that it is alive.
        HEARTBEAT_TIMEOUT_SECONDS: silence after which L1 is emptied and bypassed.
        REDIS_BUDGET_MS: what one request may spend waiting for Redis in total; without a request,
            one call of a manager.
        REDIS_POOL_SIZE: Redis connections of one process at most.
        DATABASE_BUDGET_SECONDS: what one request may spend waiting for the database in total,
            where the connections are `sessions_unified.postgres.BudgetedConnection`.
        WATCH_SECONDS: how often a process sets its clock and looks whether the database answers,
            off the requests' path; 0: never.
        PREPARED_STATEMENTS: prepare the hot statements on the server. Turn off behind a
            transaction pooler that cannot keep them.
        BREAKER_FAILURES: consecutive failures that open the Redis breaker.
        BREAKER_RESET_SECONDS: how long it stays open before one probe is let through.
        TOUCH_RESOLUTION_SECONDS: a process writes a session's touch once in this time at most.
        RELAY_POLL_SECONDS: how often the relay looks for new events.
        RELAY_BATCH_SIZE: events it hands on at once.
        CLEANUP_BATCH_SIZE: sessions a cleaning transaction takes at most.
        CLEANUP_BATCH_SECONDS: how long one should take; slower ones get smaller.
        AUDIT_SAMPLE: sessions that the scheduled audit compares.
        ABSOLUTE_LIMIT_SECONDS: the longest life of an unfinished session from its creation.
        IDLE_LIMIT_SECONDS: step → idle limit; steps not named have none.
        RECEIPT_LIMIT_SECONDS: how long a completed session can be read.
        RETENTION_DAYS: age at which finished sessions are purged to tombstones.
        EVENT_RETENTION_DAYS: age at which events of purged sessions are dropped.
        DEFAULT_CURRENCY: ISO 4217 code for amounts that come without one.
        ENCRYPTION_KEYS: kid → base64url of 32 random bytes, for what is encrypted at rest (vault
            ids, payment tokens). The first seals, all of them open. Empty: made from Django's
            ``SECRET_KEY``.
        CONSUMERS: dotted paths of further consumers of the event log
            (`sessions_unified.relay.Consumer`), which the relay runs beside its own.
        OTHER_COPIES: dotted paths of what knows further copies of a session
            (`sessions_unified.other_copies.CopySource`): shown beside the tiers by
            ``inspect_session`` and in the admin, and asked by nothing else.
        TOKEN_KEYS: kid → base64url of 32 random bytes. The first issues, all of them open.
        TOKEN_ISSUER: the ``iss`` of session tokens.
        TOKEN_AUDIENCE: the ``aud`` of session tokens.
        TOKEN_GRACE_SECONDS: how long a token outlives the absolute limit, so that an expired
            session says so instead of 401.
        COOKIE_NAME: the session cookie; over HTTPS use a ``__Host-`` name.
        COOKIE_SECURE: whether it is sent over HTTPS only.
        LINK_LIFETIME_SECONDS: how long a one-time link can be redeemed.
        METADATA_MAX_BYTES: size limit of a session's metadata as JSON.

    """

    MANAGER: str = "sessions_unified.manager.UnifiedSessionManager"
    FLOW: str = "sessions_unified.flow.default_moves"
    PRICER: str | None = None
    CLOCK: str = "sessions_unified.clock.DatabaseClock"
    DATABASE_ALIAS: str = "default"
    CACHE_ALIAS: str = "default"
    KEY_PREFIX: str = "su"
    L1_ENABLED: bool = True
    L1_MAX_ENTRIES: int = 10_000
    L1_MAX_BYTES: int = 64 * 1024 * 1024
    SINGLE_PROCESS: bool = False
    STALENESS_BOUND_SECONDS: float = 60
    LEASE_SECONDS: float = 10
    HEARTBEAT_SECONDS: float = 1
    HEARTBEAT_TIMEOUT_SECONDS: float = 3
    REDIS_BUDGET_MS: float = 50
    REDIS_POOL_SIZE: int = 64
    DATABASE_BUDGET_SECONDS: float = 5
    WATCH_SECONDS: float = 5
    PREPARED_STATEMENTS: bool = True
    BREAKER_FAILURES: int = 3
    BREAKER_RESET_SECONDS: float = 5
    TOUCH_RESOLUTION_SECONDS: float = 5
    RELAY_POLL_SECONDS: float = 0.5
    RELAY_BATCH_SIZE: int = 1000
    CLEANUP_BATCH_SIZE: int = 5000
    CLEANUP_BATCH_SECONDS: float = 0.25
    AUDIT_SAMPLE: int = 1000
    ABSOLUTE_LIMIT_SECONDS: int = 24 * 3600
    IDLE_LIMIT_SECONDS: dict[str, int] = field(
        default_factory=lambda: {"upsell-1": 30 * 60, "upsell-2": 30 * 60}
    )
    RECEIPT_LIMIT_SECONDS: int = 24 * 3600
    RETENTION_DAYS: int = 90
    EVENT_RETENTION_DAYS: int = 365
    DEFAULT_CURRENCY: str = "USD"
    ENCRYPTION_KEYS: dict[str, str] = field(default_factory=dict)
    CONSUMERS: tuple[str, ...] | list[str] = ()
    OTHER_COPIES: tuple[str, ...] | list[str] = ()
    TOKEN_KEYS: dict[str, str] = field(default_factory=dict)
    TOKEN_ISSUER: str = "sessions-unified"  # noqa: S105  (a public claim)
    TOKEN_AUDIENCE: str = "funnel-session"  # noqa: S105
    TOKEN_GRACE_SECONDS: int = 24 * 3600
    COOKIE_NAME: str = "__Host-funnel_session"
    COOKIE_SECURE: bool = True
    LINK_LIFETIME_SECONDS: int = 24 * 3600
    METADATA_MAX_BYTES: int = 8192


KNOWN_KEYS = frozenset(spec.name for spec in fields(Conf))


@cache
def get_conf() -> Conf:
    """Return the settings as they are now; ``override_settings`` is seen.

    Raises:
        ImproperlyConfigured: a key is not one of `Conf`'s.

    """
    given: dict[str, Any] = getattr(settings, "SESSIONS_UNIFIED", {})
    unknown = sorted(set(given) - KNOWN_KEYS)
    if unknown:
        message = f"SESSIONS_UNIFIED has unknown keys: {', '.join(unknown)}."
        raise ImproperlyConfigured(message)
    return Conf(**given)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"SESSIONS_UNIFIED", "CACHES", "DATABASES"}:
        get_conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.conf")

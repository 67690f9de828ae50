"""L2, Redis: a value set, read and deleted, a script run, and how it makes room."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django_redis import get_redis_connection

from sessions_unified.conf import get_conf
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIPS: Final = 10
_NEARLY_FULL: Final = 0.9
_UNUSED: Final = "not used: CACHE_ALIAS names no django-redis cache"


def is_used() -> bool:
    """Tell whether this site has an L2."""
    chosen: dict[str, Any] = settings.CACHES.get(get_conf().CACHE_ALIAS, {})
    return str(chosen.get("BACKEND", "")).startswith("django_redis.")


def client() -> Any:
    """Return a client of the cache's pool, past the breaker: the doctor wants the error itself."""
    return get_redis_connection(get_conf().CACHE_ALIAS)


def _redis() -> Finding:
    if not is_used():
        return ok(_UNUSED)
    redis = client()
    redis.ping()  # connects
    ms = sorted(_trips(redis))[_TRIPS // 2]
    return ok("set, read, scripted and deleted", ms=ms)


def _trips(redis: Any) -> Iterator[float]:
    key = f"{get_conf().KEY_PREFIX}:doctor:{secrets.token_hex(8)}"
    script = redis.register_script("return redis.call('GET', KEYS[1])")
    for _ in range(_TRIPS):
        value = secrets.token_hex(8)
        redis.set(key, value, px=10_000)
        watch = Stopwatch()
        read = redis.get(key)
        yield watch.ms
        if not read == script(keys=[key]) == value.encode() or redis.delete(key) != 1:
            raise ValueError("Redis does not give back what was written: is it one server?")


def _memory() -> Finding:
    if not is_used():
        return ok(_UNUSED)
    info = client().info("memory")
    most, used = info.get("maxmemory", 0), info.get("used_memory", 0)
    policy = info.get("maxmemory_policy", "unknown")
    text = f"{_megabytes(used)} of {_megabytes(most) if most else 'no limit'}, {policy}"
    if not most or policy != "noeviction":
        return ok(text)
    if used < most * _NEARLY_FULL:
        return ok(text)
    return failed(
        f"{text}: full, and it refuses writes",
        "Raise maxmemory, or set maxmemory-policy to volatile-lru: every key of ours can go.",
        "redis-full",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"


CHECKS: Final = [
    Check(
        name="redis",
        look=_redis,
        advice="Is it running? Do REDIS_URL's host and password hold? Shoppers are served without.",
        runbook="redis-down",
    ),
    Check(
        name="redis memory",
        look=_memory,
        advice="Look at Redis.",
        runbook="redis-full",
        needs="redis",
    ),
]

"""Reads: each tier against what it is made of, and against what shops use today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from psycopg.types.string import TextLoader

from sessions_unified.tiers.rows import COLUMNS, SESSIONS
from tests.benchmarks.measuring import Side
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured

_SELECT: Final = f"SELECT {COLUMNS} FROM {SESSIONS} WHERE id = %s"


@row(operation="get_session, L1 hit", baseline="Django locmem get", target=0.15)
def l1_hit(bench: Bench) -> Measured:
    cache = caches["locmem"]
    for session in bench.sessions:
        cache.set(session.id, bench.wire(session), timeout=None)
    return bench.compare(_first(bench), Side(start=lambda: cache.get, keys=bench.ids))


@row(operation="get_session, L1 hit", baseline="Django cached_db load, hit", target=0.03)
def l1_hit_vs_cached_db(bench: Bench) -> Measured:
    kept = {session.id: bench.wire(session) for session in bench.sessions}

    def keep(keys: Any) -> None:
        bench.keep(caches["default"], {SessionStore(key).cache_key: kept[key] for key in keys})

    def load(key: str) -> object:
        return SessionStore(key).load()

    return bench.compare(_first(bench), Side(start=lambda: load, keys=bench.ids, prepare=keep))


@row(
    operation="get_session, L1 off",
    baseline="bare redis-py GET of the same bytes",
    target=1.25,
)
def l2_hit(bench: Bench) -> Measured:
    _keep(bench.redis.set, {f"peer:{each.id}": bench.value(each) for each in bench.sessions})
    keys = [f"peer:{key}" for key in bench.ids]
    return bench.compare(_second(bench), Side(start=lambda: bench.redis.get, keys=keys))


@row(operation="get_session, L1 off", baseline="django-redis cache.get", target=1.0)
def l2_hit_vs_django_redis(bench: Bench) -> Measured:
    cache = caches["default"]
    bench.keep(cache, {session.id: bench.wire(session) for session in bench.sessions})
    return bench.compare(_second(bench), Side(start=lambda: cache.get, keys=bench.ids))


@row(
    operation="get_session, L1 and L2 off, on Django's connection",
    baseline="bare psycopg prepared SELECT of the same columns, JSON as text",
    target=1.8,
)
def l3_read(bench: Bench) -> Measured:
    cursor = bench.database.cursor()
    cursor.adapters.register_loader("jsonb", TextLoader)

    def select(key: str) -> object:
        return cursor.execute(_SELECT, (key,), prepare=True).fetchone()

    ours = bench.ours(
        lambda: bench.database_only,
        lambda manager: manager.get_session,
        keys=bench.ids,
        expected=Expected(transactions=1),
    )
    return bench.compare(ours, Side(start=lambda: select, keys=bench.ids))


def _first(bench: Bench) -> Side:
    return bench.ours(
        lambda: bench.all_tiers,
        lambda manager: manager.get_session,
        keys=bench.ids,
        expected=Expected(),
        prepare=lambda keys: bench.fill(bench.all_tiers, keys),
    )


def _second(bench: Bench) -> Side:
    return bench.ours(
        lambda: bench.without_l1,
        lambda manager: manager.get_session,
        keys=bench.ids,
        expected=Expected(gets=1),
        prepare=lambda keys: bench.fill(bench.without_l1, keys),
    )


def _keep(put: Callable[[str, bytes], object], values: dict[str, bytes]) -> None:
    for key, value in values.items():
        put(key, value)

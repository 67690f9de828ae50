"""Writes: committed with their event, put into L2 and sent to every L1."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import caches

from sessions_unified.clock import get_clock
from sessions_unified.ids import mint_session_id
from sessions_unified.tiers.rows import COLUMNS, EVENTS, FIELDS, PLACEHOLDERS, SESSIONS, to_params
from tests.benchmarks.measuring import Side
from tests.benchmarks.payload import ORDER
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.manager import UnifiedSessionManager
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured, Operation

_UPDATE: Final = (
    f"UPDATE {SESSIONS} SET metadata = %s, version = version + 1, updated_at = %s, expires_at = %s "
    "WHERE id = %s AND deleted_at IS NULL RETURNING id, version"
)
_LOG: Final = (
    f"INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at) "
    "VALUES (%s, %s, 'session_updated', '[\"metadata\"]', '{}', 'system', %s)"
)
_UPDATE_AND_LOG: Final = (
    f"WITH changed AS ({_UPDATE}), logged AS ({_LOG.partition('VALUES')[0]} "
    "SELECT id, version, 'session_updated', '[\"metadata\"]', '{}', 'system', %s FROM changed) "
    "SELECT version FROM changed"
)
_PUT_AND_PUBLISH: Final = (
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
    "return redis.call('PUBLISH', ARGV[3], ARGV[4])"
)
_CREATE: Final = (
    f"WITH changed AS (INSERT INTO {SESSIONS} ({COLUMNS}, holds) "
    f"VALUES ({', '.join(PLACEHOLDERS)}, 0) ON CONFLICT (id) DO NOTHING RETURNING id, version), "
    f"logged AS ({_LOG.partition('VALUES')[0]} "
    "SELECT id, version, 'session_created', '[]', '{}', 'system', %s FROM changed) "
    "SELECT 1 FROM changed"
)
_TTL_MS: Final = 60_000
_DAY: Final = timedelta(days=1)


@row(
    operation="update_session: committed with its event, L2 put, invalidation",
    baseline="bare transaction + SET + PUBLISH",
    target=1.0,
)
def update(bench: Bench) -> Measured:
    values, connection = _values(bench), bench.database
    channel = bench.all_tiers.redis.channel

    def write(key: str) -> None:
        now = get_clock().now()
        with connection.transaction():
            params = (_metadata(), now, now + _DAY, key)
            _, version = connection.execute(_UPDATE, params, prepare=True).fetchone()
            connection.execute(_LOG, (key, version, now), prepare=True)
        bench.redis.set(f"peer:{key}", values[key], px=_TTL_MS)
        bench.redis.publish(channel, f"{key} {version}")

    return bench.compare(_ours(bench), Side(start=lambda: write, keys=bench.peer_ids))


@row(
    operation="update_session: committed with its event, L2 put, invalidation",
    baseline="bare CTE + one Lua call",
    target=1.3,
)
def update_vs_best(bench: Bench) -> Measured:
    values, connection = _values(bench), bench.database
    channel, digest = bench.all_tiers.redis.channel, bench.redis.script_load(_PUT_AND_PUBLISH)

    def write(key: str) -> None:
        now = get_clock().now()
        params = (_metadata(), now, now + _DAY, key, now)
        (version,) = connection.execute(_UPDATE_AND_LOG, params, prepare=True).fetchone()
        args = (f"peer:{key}", values[key], _TTL_MS, channel, f"{key} {version}")
        bench.redis.evalsha(digest, 1, *args)

    return bench.compare(_ours(bench), Side(start=lambda: write, keys=bench.peer_ids))


@row(
    operation="update_session: committed with its event, L2 put, invalidation",
    baseline="Django cached_db modify + save",
    target=0.5,
)
def update_vs_cached_db(bench: Bench) -> Measured:
    kept = {session.id: bench.wire(session) for session in bench.peers}
    ends_at = get_clock().now() + _DAY
    Session.objects.bulk_create(
        Session(session_key=key, session_data=SessionStore().encode(data), expire_date=ends_at)
        for key, data in kept.items()
    )
    bench.keep(caches["default"], {SessionStore(key).cache_key: data for key, data in kept.items()})

    def write(key: str) -> None:
        store = SessionStore(key)
        store["visits"] = next(_visits)
        store.save()

    return bench.compare(_ours(bench), Side(start=lambda: write, keys=bench.peer_ids))


@row(operation="create_session", baseline="the row and its event as one bare CTE", target=1.4)
def create(bench: Bench) -> Measured:
    connection = bench.database
    template = dict(zip(FIELDS, to_params(bench.peers[0]), strict=True))

    def write(_: object) -> None:
        now = get_clock().now()
        values = template | {
            "id": mint_session_id(int(now.timestamp() * 1000)),
            "created_at": now,
            "updated_at": now,
            "expires_at": now + _DAY,
        }
        connection.execute(_CREATE, [*values.values(), now], prepare=True).fetchone()

    def call(manager: UnifiedSessionManager) -> Operation:
        return lambda _: manager.create_session(**ORDER)

    keys = range(bench.plan.operations)
    ours = bench.ours(lambda: bench.all_tiers, call, keys=keys, expected=Expected(transactions=1))
    return bench.compare(ours, Side(start=lambda: write, keys=keys))


def _ours(bench: Bench) -> Side:
    def call(manager: UnifiedSessionManager) -> Callable[[str], object]:
        return lambda key: manager.update_session(
            key, {"metadata": {**_METADATA, "visits": next(_visits)}}
        )

    return bench.ours(
        lambda: bench.all_tiers,
        call,
        keys=bench.ids,
        expected=Expected(gets=None, scripts=1, transactions=1),
        prepare=lambda keys: bench.fill(bench.all_tiers, keys),
    )


_METADATA: Final[dict[str, Any]] = ORDER["metadata"]
_visits = itertools.count(10)


def _metadata() -> str:
    return f'{{"utm_source": "newsletter", "utm_campaign": "spring", "visits": {next(_visits)}}}'


def _values(bench: Bench) -> dict[str, bytes]:
    return {session.id: bench.value(session) for session in bench.peers}

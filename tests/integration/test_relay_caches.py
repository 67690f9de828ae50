"""The relay and the caches: whoever dies between commit and put, no old copy stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import redis
from django.db import connection

from funnel.local.ports import LOOPBACK
from funnel.local.valkey import Valkey
from sessions_unified import event_log
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.metrics import REPAIRS, REWINDS
from sessions_unified.models import LogCursor
from sessions_unified.relay import CacheConsumer, Relay, consumers_of, cursors
from sessions_unified.testing import FrozenClock
from tests.fault_servers import OwnServer
from tests.managing import ORDER, that_dies, wait_for, warm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.tiers import Tiers
    from tests.managing import MakeTiers

pytestmark = pytest.mark.usefixtures("time_for_redis")

DIES_BEFORE_ITS_PUT = """
import os, signal, sys
import django
django.setup()
from sessions_unified import get_manager
from sessions_unified.tiers import get_tiers
get_tiers().redis.put = lambda copy: os.kill(os.getpid(), signal.SIGKILL)
get_manager().update_session(sys.argv[1], {"metadata": {"by": "the dead"}})
"""


@pytest.fixture
def tiers(make_tiers: MakeTiers) -> Tiers:
    return make_tiers(L1_ENABLED=False)


@pytest.fixture
def manager(tiers: Tiers) -> UnifiedSessionManager:
    return UnifiedSessionManager(tiers=tiers)


@pytest.fixture
def relay(tiers: Tiers) -> Relay:
    """Return a relay that has handled all there is."""
    relay = Relay(consumers_of(tiers), tiers)
    assert relay.drain()
    return relay


def repairs() -> float:
    return REPAIRS._value.get()


def rewinds() -> float:
    return REWINDS._value.get()


def cached_version(tiers: Tiers, session_id: str) -> int | None:
    assert tiers.redis is not None
    copy = tiers.redis.peek(session_id)
    return None if copy is None else copy.session.version


def test_r21_a_writer_killed_between_its_commit_and_its_put(
    manager: UnifiedSessionManager, tiers: Tiers, relay: Relay, site_env: dict[str, str]
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)

    died = subprocess.run(
        [sys.executable, "-c", DIES_BEFORE_ITS_PUT, session.id], env=site_env, check=False
    )
    before, counted = cached_version(tiers, session.id), repairs()
    assert relay.drain()

    assert died.returncode == -signal.SIGKILL
    assert before == 1
    assert cached_version(tiers, session.id) is None
    assert manager.get_session(session.id).metadata == {"by": "the dead"}
    assert repairs() - counted == 1


def test_a_load_that_began_before_a_lost_put_is_not_kept(
    manager: UnifiedSessionManager, tiers: Tiers, relay: Relay
) -> None:
    session = manager.create_session(**ORDER)
    assert tiers.redis is not None
    lease = tiers.redis.read(session.id).lease
    old = tiers.database.peek(session.id)
    assert lease is not None
    assert old is not None

    that_dies(tiers).update_session(session.id, {"metadata": {}})
    assert relay.drain()
    kept = tiers.redis.fill(old, lease)

    assert not kept
    assert manager.get_session(session.id).version == 2


def test_a_copy_that_only_another_process_holds(
    make_tiers: MakeTiers, tiers: Tiers, relay: Relay, redis_client: redis.Redis
) -> None:
    other = warm(UnifiedSessionManager(tiers=make_tiers()))
    session = other.create_session(**ORDER)
    other.get_session(session.id)
    redis_client.delete(tiers.redis.key(session.id))
    that_dies(tiers).update_session(session.id, {"metadata": {"gift": True}})
    before = other.get_session(session.id)

    assert relay.drain()

    assert before.version == 1
    wait_for(lambda: other.get_session(session.id).version == 2)


@pytest.mark.parametrize("end", ["delete_session", "expire_session"])
def test_r02_a_session_that_ended_is_dropped_everywhere(
    end: str, manager: UnifiedSessionManager, tiers: Tiers, relay: Relay
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)

    getattr(that_dies(tiers), end)(session.id)
    assert relay.drain()

    assert cached_version(tiers, session.id) is None


def test_a_copy_as_new_as_its_events_stays(
    manager: UnifiedSessionManager, tiers: Tiers, relay: Relay
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    manager.update_session(session.id, {"metadata": {"gift": True}})
    counted = repairs()

    assert relay.drain()

    assert cached_version(tiers, session.id) == 2
    assert repairs() == counted


def test_what_no_one_can_read_is_ended(
    manager: UnifiedSessionManager, tiers: Tiers, relay: Relay, redis_client: redis.Redis
) -> None:
    keys = [tiers.redis.key(manager.create_session(**ORDER).id) for _ in range(3)]
    redis_client.set(keys[0], b"Cgarbage", ex=30)
    redis_client.set(keys[1], b"?")
    redis_client.rpush(keys[2], "a list")

    assert relay.drain()

    assert redis_client.exists(*keys) == 0


def test_a_server_that_forgot_the_script_is_given_it_again(
    manager: UnifiedSessionManager, tiers: Tiers, relay: Relay, redis_client: redis.Redis
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    that_dies(tiers).update_session(session.id, {"metadata": {}})
    redis_client.script_flush()

    assert relay.drain()

    assert cached_version(tiers, session.id) is None


@pytest.fixture
def valkey(server_dir: Path, settings: SettingsWrapper) -> Iterator[OwnServer]:
    """Run a Valkey of the test's own, which keeps its data, and use it as the cache."""
    server = Valkey(server_dir, durable=True)
    server.prepare()
    own = OwnServer(server).start()
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": own.url}}
    yield own
    own.stop()


def test_r16_a_redis_that_comes_back_without_the_last_writes(
    valkey: OwnServer, make_tiers: MakeTiers
) -> None:
    tiers = make_tiers(L1_ENABLED=False, BREAKER_RESET_SECONDS=0.05)
    manager, relay = UnifiedSessionManager(tiers=tiers), Relay(consumers_of(tiers), tiers)
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    key = tiers.redis.key(session.id)
    old = tiers.redis.call(lambda client: client.dump(key))
    manager.update_session(session.id, {"metadata": {"gift": True}})
    assert relay.drain()
    assert cached_version(tiers, session.id) == 2
    counted = rewinds()

    valkey.kill()
    manager.create_session(**ORDER)
    is_well_meanwhile = relay.drain()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        client.restore(key, 30_000, old, replace=True)
    wait_for(relay.drain)
    wait_for(lambda: relay.drain() and rewinds() > counted)

    assert not is_well_meanwhile
    assert rewinds() - counted == 1
    assert cached_version(tiers, session.id) is None
    assert event_log.lag("caches") == (0, 0)


def test_r16_a_primary_that_became_a_replica_is_left(
    valkey: OwnServer, make_tiers: MakeTiers
) -> None:
    tiers = make_tiers(L1_ENABLED=False)
    manager, relay = UnifiedSessionManager(tiers=tiers), Relay(consumers_of(tiers), tiers)
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    assert relay.drain()
    that_dies(tiers).update_session(session.id, {"metadata": {"gift": True}})
    with redis.Redis.from_url(valkey.url) as client:
        client.replicaof(LOOPBACK, "1")
        clients = client.info("stats")["total_connections_received"]

        is_well_meanwhile = relay.drain()
        client.replicaof("NO", "ONE")
        wait_for(lambda: relay.drain() and cached_version(tiers, session.id) is None)

        assert not is_well_meanwhile
        assert client.info("stats")["total_connections_received"] > clients


def test_a_rewind_goes_back_as_far_as_the_bound_and_no_further(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager, relay = UnifiedSessionManager(tiers=tiers), Relay(consumers_of(tiers), tiers)
    clock.advance(seconds=-1000)
    ids = []
    for _ in range(30):
        ids.append(manager.create_session(**ORDER).id)
        assert relay.drain()
        clock.advance(seconds=10)
    consumer = CacheConsumer(tiers.redis)
    given: list[str] = []
    consumer.handle = lambda entries: given.extend(e.session_id for e in entries)  # type: ignore[method-assign]

    assert Relay([consumer], tiers).drain()

    # The last 75 seconds, by places that are noted every 5 seconds at most.
    assert ids[-7:] == given[-7:]
    assert 7 <= len(given) <= 9
    assert len(LogCursor.objects.get().trail) < 12


def test_a_new_consumer_begins_at_the_bound(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    clock.advance(seconds=-300)
    manager.create_session(**ORDER)
    clock.advance(seconds=300)
    manager.create_session(**ORDER)

    place = cursors.find(CacheConsumer(tiers.redis), now=clock.now())

    assert len(event_log.read_after(event_log.BEGINNING, 10)) == 2
    assert len(event_log.read_after(place, 10)) == 1


def add_events(number: int) -> None:
    """Log what a large cleaning logs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sessions_unified_sessionevent "
            "(session_id, seq, kind, changed, data, actor, at) "
            "SELECT 'ws_mwqd04w0_' || md5(n::text), 7, 'session_purged', '[]', '{}', 'system', "
            "now() FROM generate_series(1, %s) AS n",
            [number],
        )


def test_a_large_cleaning_is_followed_quickly(relay: Relay) -> None:
    add_events(5_000)

    began = time.monotonic()
    assert relay.drain()
    seconds = time.monotonic() - began

    assert event_log.lag("caches") == (0, 0)
    print(f"{5_000 / seconds:,.0f} events a second")
    assert seconds < 10  # 20,000 a second and more where nothing else runs

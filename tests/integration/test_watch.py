"""What runs beside the requests: the watch, the channel, and what a fork leaves of them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from sessions_unified import metrics
from sessions_unified.clock import DatabaseClock
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.tiers import get_tiers, reset_tiers
from sessions_unified.tiers.channel import EVERYTHING
from sessions_unified.tiers.watch import Watch
from tests.fault_proxy import FaultProxy
from tests.managing import ORDER, wait_for, warm

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.managing import MakeTiers


def test_it_sets_the_clock_so_that_no_request_does(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = DatabaseClock()
    tiers = make_tiers(clock=clock)
    Watch(tiers, seconds=1).look()

    monkeypatch.setattr(clock, "measure", lambda: pytest.fail("a request asked for the time"))

    assert clock.now()


def test_r18_it_notices_that_the_database_is_gone_and_that_it_is_back(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = make_tiers(BREAKER_FAILURES=2, BREAKER_RESET_SECONDS=0)
    watch = Watch(tiers, seconds=1)
    manager = UnifiedSessionManager(tiers=tiers)

    def refuse(*_: object) -> None:
        raise psycopg.OperationalError("connection refused")

    with monkeypatch.context() as patch:
        connection.close()
        patch.setattr(connection, "get_new_connection", refuse)
        watch.look()
        watch.look()
        noticed = set(manager.degraded)
    watch.look()

    assert noticed == {"database"}
    assert UnifiedSessionManager(tiers=tiers).degraded == set()


def test_it_hands_the_hits_of_l1_to_the_metrics(manager: UnifiedSessionManager) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    Watch(manager._tiers, seconds=1).look()
    counter = metrics.READS.labels("memory", "hit")
    before = counter._value.get()

    for _ in range(10):
        manager.get_session(session.id)
    Watch(manager._tiers, seconds=1).look()

    assert counter._value.get() == before + 10


def test_the_process_starts_it_with_the_first_read_and_stops_it_with_the_tiers(
    settings: SettingsWrapper, transactional_db: None, redis_flush: None
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"WATCH_SECONDS": 0.05}
    manager = UnifiedSessionManager()
    before = set(threading.enumerate())

    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    started = set(threading.enumerate()) - before
    reset_tiers()

    assert {thread.name for thread in started} >= {"sessions-watch", "sessions-invalidation"}
    wait_for(lambda: not any(thread.is_alive() for thread in started))


def test_r06_a_subscription_that_hears_nothing_is_replaced(
    make_tiers: MakeTiers, settings: SettingsWrapper
) -> None:
    url = os.environ["REDIS_URL"]
    target = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    with FaultProxy(target=target) as proxy:
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": proxy.url(url)}}
        tiers = make_tiers(HEARTBEAT_TIMEOUT_SECONDS=0.3)
        channel = tiers.channel
        assert channel is not None
        wait_for(channel.is_alive)
        subscriptions = proxy.connections

        # As a firewall does that has forgotten a connection: no error, and no messages.
        with tiers.redis.connection().pubsub() as other:  # type: ignore[union-attr]  # it exists
            other.subscribe("somebody-else")
            channel._ping_channel = "nobody-listens"
            wait_for(lambda: not channel.is_alive())
            wait_for(lambda: proxy.connections > subscriptions + 1)
            wait_for(channel.is_alive)
        tiers.stop()


def test_r06_a_message_for_everything_empties_l1(manager: UnifiedSessionManager) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    tiers = manager._tiers
    assert tiers.memory is not None
    assert tiers.redis is not None
    assert len(tiers.memory) == 1

    tiers.redis.connection().publish(tiers.redis.channel, EVERYTHING)

    wait_for(lambda: len(tiers.memory or ()) == 0)


def test_a_manager_from_before_a_fork_serves_the_child_nothing_of_its_parents(
    make_tiers: MakeTiers,
) -> None:
    manager = warm(UnifiedSessionManager(tiers=make_tiers()))
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)
    memory = manager._tiers.memory
    assert memory is not None
    assert memory.hit(session.id) is not None
    reader, writer = os.pipe()

    child = os.fork()
    if not child:
        os.write(writer, b"served" if memory.hit(session.id) or memory.is_live else b"empty")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 100) == b"empty"
    assert get_tiers() is not None

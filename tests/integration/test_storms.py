"""Many readers at once: one load a key, and never another session's answer (promises R9, R47)."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.db import connections

from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.tiers.budget import Budget
from tests.fault_proxy import FaultProxy
from tests.managing import ORDER, wait_for, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Copy, Tiers
    from tests.managing import MakeTiers

READERS = 1_000


def count_loads(tiers: Tiers, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> list[str]:
    """Make each load of the database take a while; return the list of those that were made."""
    loads: list[str] = []
    load = tiers.database.peek

    def slow(session_id: str) -> Copy | None:
        loads.append(session_id)
        time.sleep(seconds)
        return load(session_id)

    monkeypatch.setattr(tiers.database, "peek", slow)
    return loads


def count_gaps(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return the list of the times that L1 is emptied from now on, leases and all."""
    gaps: list[None] = []
    if tiers.memory is not None:
        clear = tiers.memory.clear
        monkeypatch.setattr(tiers.memory, "clear", lambda: (gaps.append(None), clear()))
    return gaps


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work`` in so many threads that begin together; close their connections."""
    start = threading.Barrier(count)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as exc:  # noqa: BLE001  (shown below)
            failures.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("l1", [True, False], ids=["with L1", "without L1"])
def test_r09_a_thousand_misses_of_one_session_are_one_load(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch, *, l1: bool
) -> None:
    # Without L1 each reader asks Redis for the lease first: fewer, for its connections.
    readers = READERS if l1 else 50
    tiers = make_tiers(L1_ENABLED=l1)
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    if tiers.channel is not None:  # its beginning is a gap, which ends the loads before it
        wait_for(tiers.channel.is_alive)
    gaps = count_gaps(tiers, monkeypatch)
    loads = count_loads(tiers, monkeypatch, seconds=1.0)
    answers: list[SessionSnapshot] = []

    in_threads(
        readers,
        lambda _: answers.append(UnifiedSessionManager(tiers=tiers).get_session(session.id)),
    )

    assert answers == [session] * readers
    # On a busy machine so many threads may starve the channel, and a gap ends the loads before it.
    assert 1 <= len(loads) <= 1 + len(gaps)


def test_r09_a_leader_that_is_stuck_is_replaced_by_one_reader(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = make_tiers(LEASE_SECONDS=1.5)
    session = warm(UnifiedSessionManager(tiers=tiers)).create_session(**ORDER)
    gaps = count_gaps(tiers, monkeypatch)
    loads: list[str] = []
    load = tiers.database.peek
    release = threading.Event()

    def stuck_once(session_id: str) -> Copy | None:
        loads.append(session_id)
        if len(loads) == 1:
            release.wait(60)
        return load(session_id)

    monkeypatch.setattr(tiers.database, "peek", stuck_once)
    answers: list[SessionSnapshot] = []

    def read(number: int) -> None:
        if number:
            wait_for(lambda: loads)
        answers.append(UnifiedSessionManager(tiers=tiers).get_session(session.id))
        if len(answers) == 19:
            release.set()

    in_threads(20, read)

    assert answers == [session] * 20
    assert 2 <= len(loads) <= 2 + len(gaps)


HOLD_A_LEASE = """
import django, os, signal, sys
django.setup()
from sessions_unified.tiers import get_tiers
print(get_tiers().redis.read(sys.argv[1]).lease, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_r09_a_process_that_dies_with_the_lease_holds_nobody_up(
    make_tiers: MakeTiers, site_env: dict[str, str]
) -> None:
    manager = warm(UnifiedSessionManager(tiers=make_tiers()))
    session = manager.create_session(**ORDER)
    env = {**site_env, "DJANGO_SETTINGS_MODULE": "funnel.settings"}

    argv = [sys.executable, "-c", HOLD_A_LEASE, session.id]
    died = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    began = time.monotonic()
    answer = manager.get_session(session.id)

    assert len(died.stdout.strip()) == 32
    assert answer == session
    assert time.monotonic() - began < 5  # half of the lease
    redis = manager._tiers.redis
    assert redis is not None
    assert redis.peek(session.id) is not None  # filled under the dead process' lease


@pytest.fixture
def jittery(settings: SettingsWrapper, redis_flush: None) -> Iterator[FaultProxy]:
    """Put a Redis before the test's that answers late, now and then too late."""
    url = os.environ["REDIS_URL"]
    target = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    with FaultProxy(target=target) as proxy:
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": proxy.url(url)}}
        yield proxy
        caches["default"].close()


def test_r47_in_a_storm_of_timeouts_nobody_gets_anothers_session(
    make_tiers: MakeTiers, jittery: FaultProxy
) -> None:
    tiers = make_tiers(L1_ENABLED=False, BREAKER_FAILURES=10**9)
    manager = UnifiedSessionManager(tiers=tiers)
    sessions = [
        manager.create_session(**ORDER | {"email": f"canary-{number}@example.org"})
        for number in range(16)
    ]
    manager.get_sessions(session.id for session in sessions)
    for session in sessions:
        manager.get_session(session.id)
    jittery.delay(0.04, 0.03)
    seen = {"late": 0, "in time": 0}

    def read(number: int) -> None:
        source = random.Random(number)
        for _ in range(15):
            wanted = source.choice(sessions)
            # Every other request has no time, and leaves its reply behind.
            request: Any = SimpleNamespace(_redis_budget=Budget(source.choice([0.02, 10])))
            reader = UnifiedSessionManager(tiers=tiers, request=request)
            answer = reader.get_session(wanted.id)
            assert (answer.id, answer.email) == (wanted.id, wanted.email)
            seen["late" if reader.degraded else "in time"] += 1

    in_threads(6, read)

    assert min(seen.values()) > 10


def test_r47_cancelled_coroutines_leak_nothing(make_tiers: MakeTiers) -> None:
    tiers = make_tiers(L1_ENABLED=False)
    manager = UnifiedSessionManager(tiers=tiers)
    sessions = [
        manager.create_session(**ORDER | {"email": f"canary-{number}@example.org"})
        for number in range(8)
    ]

    async def read(wanted: SessionSnapshot, *, seconds: float) -> None:
        reader = UnifiedSessionManager(tiers=tiers)
        try:
            answer = await asyncio.wait_for(reader.aget_session(wanted.id), seconds)
        except (TimeoutError, TierUnavailableError):
            return
        assert answer.email == wanted.email

    async def storm() -> None:
        source = random.Random(7)
        for _ in range(20):
            readers = [read(session, seconds=source.uniform(0, 0.004)) for session in sessions]
            await asyncio.gather(*readers)
        await asyncio.gather(*(read(session, seconds=5) for session in sessions))
        await sync_to_async(connections.close_all)()

    asyncio.run(storm())

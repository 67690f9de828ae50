"""One total time for Redis a request, however slow its steps are (promises R13, R14, R47)."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from django.core.cache import caches
from django.test import RequestFactory

from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers.base import Copy
from sessions_unified.tiers.breaker import CircuitBreaker
from sessions_unified.tiers.budget import Budget
from sessions_unified.tiers.redis import RedisTier
from tests.fault_proxy import FaultProxy
from tests.managing import ORDER
from tests.sessions import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from tests.managing import MakeTiers


@pytest.fixture
def proxy(settings: SettingsWrapper, redis_flush: None) -> Iterator[FaultProxy]:
    """Put a proxy between the cache and the test's Redis."""
    url = os.environ["REDIS_URL"]
    target = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    with FaultProxy(target=target) as proxy:
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": proxy.url(url)}}
        yield proxy
        caches["default"].close()


@pytest.fixture
def tier(proxy: FaultProxy) -> Iterator[RedisTier]:
    tier = RedisTier(
        clock=FrozenClock(),
        alias="default",
        prefix="su",
        staleness_bound_seconds=60,
        lease_seconds=10,
        breaker=CircuitBreaker(failures=1000, reset_seconds=0.2, tier="redis"),
        probe_seconds=0.05,
    )
    yield tier
    tier.close()


def seconds_of(tier: RedisTier, budget_seconds: float) -> tuple[float, RedisTier]:
    """Read until the budget is spent; return how long that took."""
    bounded = tier.within(Budget(budget_seconds))
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(TierUnavailableError):
            bounded.peek("ws_1_a")
    return time.monotonic() - began, bounded


def test_r13_a_server_that_never_answers_costs_one_budget(
    tier: RedisTier, proxy: FaultProxy
) -> None:
    tier.peek("ws_1_a")
    proxy.hang()

    seconds, _ = seconds_of(tier, 0.1)

    assert 0.08 < seconds < 1  # each of the twenty by itself: 2 s


def test_r13_a_new_connection_that_is_slow_at_every_step_costs_one_budget(
    tier: RedisTier, proxy: FaultProxy
) -> None:
    # Each reply of the handshake would come in time; all of them together don't.
    proxy.delay(0.06)

    seconds, _ = seconds_of(tier, 0.1)

    assert 0.08 < seconds < 1


def test_r14_a_budget_that_is_spent_refuses_without_asking(
    tier: RedisTier, proxy: FaultProxy
) -> None:
    proxy.hang()
    _, bounded = seconds_of(tier, 0.05)
    proxy.pass_on()
    asked = proxy.requests

    with pytest.raises(TierUnavailableError, match="spent"):
        bounded.peek("ws_1_a")

    assert proxy.requests == asked
    assert tier.peek("ws_1_a") is None  # another request has its own


def test_r14_the_half_open_probe_is_one_and_short(tier: RedisTier, proxy: FaultProxy) -> None:
    now = 0.0
    tier.breaker = CircuitBreaker(failures=1, reset_seconds=60, tier="redis", monotonic=lambda: now)
    tier.peek("ws_1_a")
    proxy.hang()
    tier.breaker.failed()
    now = 60
    asked = proxy.requests + proxy.connections
    took: list[float] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        began = time.monotonic()
        with pytest.raises(TierUnavailableError):
            tier.peek("ws_1_a")
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert proxy.requests + proxy.connections - asked == 1
    assert 0.04 < max(took) < 0.9  # not the second that work without a budget may take


def test_all_managers_of_a_request_share_one_budget(
    make_tiers: MakeTiers, proxy: FaultProxy, settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"REDIS_BUDGET_MS": 100}
    tiers = make_tiers(L1_ENABLED=False, BREAKER_FAILURES=1000)
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    request = RequestFactory().get("/")
    proxy.hang()
    began = time.monotonic()

    for _ in range(20):
        manager = UnifiedSessionManager(tiers=tiers, request=request)
        assert manager.get_session(session.id) == session
        manager.touch_session(session.id)
        assert manager.degraded == {"redis"}

    assert time.monotonic() - began < 1.5  # each by itself: 2 s


def test_r47_a_reply_that_came_too_late_answers_nobody_else(
    tier: RedisTier, proxy: FaultProxy
) -> None:
    for name in "ab":
        copy = Copy(snapshot(id=f"ws_1_{name}"), FrozenClock().now())
        tier.fill(copy, tier.read(copy.session.id).lease or "")
    proxy.delay(0.1)
    with pytest.raises(TierUnavailableError):
        tier.within(Budget(0.03)).peek("ws_1_a")
    proxy.pass_on()
    time.sleep(0.15)

    second = tier.peek("ws_1_b")

    assert second is not None
    assert second.session.id == "ws_1_b"


def test_r47_a_call_that_is_interrupted_leaks_no_reply(
    tier: RedisTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        copy = Copy(snapshot(id=f"ws_1_{name}"), FrozenClock().now())
        tier.fill(copy, tier.read(copy.session.id).lease or "")
    connection_class = tier._pool.connection_class

    with monkeypatch.context() as patch:
        # As an asynchronous exception does, between the command and its reply.
        patch.setattr(connection_class, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tier.peek("ws_1_a")
    second = tier.peek("ws_1_b")

    assert second is not None
    assert second.session.id == "ws_1_b"


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_connections_are_used_again(tier: RedisTier, proxy: FaultProxy) -> None:
    for _ in range(10):
        tier.peek("ws_1_a")

    assert proxy.connections == 1


def test_a_connection_that_the_server_closed_costs_nobody_an_error(
    tier: RedisTier, proxy: FaultProxy
) -> None:
    tier.peek("ws_1_a")

    proxy.drop_connections()

    assert tier.peek("ws_1_a") is None
    assert proxy.connections == 2

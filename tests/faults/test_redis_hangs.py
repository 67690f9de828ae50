"""Redis accepts and never answers, or answers late: it costs a request its budget, once."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from sessions_unified.manager import UnifiedSessionManager
from tests.live_site import Shopper
from tests.managing import ORDER, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.tiers import Tiers
    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer
    from tests.fault_site import FaultSite

BUDGET_SECONDS = 0.2
NOISE_SECONDS = 0.15  # of the machine, in the quickest of some; a second wait would be more
PROBE_SECONDS = 0.025  # half of the budget of this process


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def quickest(work: Callable[[], Any], *, times: int = 5) -> float:
    """Return the least time that it takes: what the machine does beside it is left out."""
    return min(seconds_of(work) for _ in range(times))


def read(tiers: Tiers, session_id: str) -> None:
    """Read as a request does, with a budget of its own."""
    UnifiedSessionManager(tiers=tiers).get_session(session_id)


@pytest.fixture(params=["hang", "frozen", "slow"])
def make_slow(request: pytest.FixtureRequest, valkey: OwnServer) -> Iterator[Callable[..., None]]:
    """Return a function that makes a proxy's Redis hang, stop (SIGSTOP) or answer in 400±50 ms."""

    def fault(proxy: FaultProxy) -> None:
        if request.param == "hang":
            proxy.hang()
        elif request.param == "slow":
            proxy.delay(0.4, 0.05)
        else:
            valkey.freeze()

    yield fault
    valkey.thaw()


def test_r13_r14_a_request_spends_its_budget_on_redis_and_no_more(
    unbroken_site: FaultSite, make_slow: Callable[..., None]
) -> None:
    site = unbroken_site
    shopper = Shopper.start(site.base)
    answers: list[Any] = []
    works: dict[str, Callable[[], Any]] = {
        "read": lambda: answers.append(shopper.get()),
        "write": lambda: answers.append(shopper.patch({"metadata": {"n": len(answers)}})),
    }
    usual = {name: quickest(work) for name, work in works.items()}
    answers.clear()

    make_slow(site.redis)
    away = {name: quickest(work) for name, work in works.items()}

    print(f"usually {usual}, with Redis away {away}")
    assert {each.status for each in answers} == {200}
    assert {each.headers["Session-Degraded"] for each in answers} == {"redis"}
    for name, seconds in away.items():
        assert seconds - usual[name] <= BUDGET_SECONDS + NOISE_SECONDS


def test_r13_r14_once_the_breaker_is_open_requests_do_not_wait(
    site: FaultSite, make_slow: Callable[..., None]
) -> None:
    shopper = Shopper.start(site.base)
    make_slow(site.redis)
    wait_for(lambda: shopper.get().headers["Session-Degraded"] == "redis")

    took = [seconds_of(shopper.get) for _ in range(40)]

    # Three may fail before it opens, and then there is a probe each BREAKER_RESET_SECONDS.
    usual = statistics.median(took)
    print(f"40 reads in {sum(took):.2f} s, usually {usual:.3f} s each")
    assert usual < BUDGET_SECONDS / 2


def test_r14_an_open_breaker_lets_one_probe_through_and_bounds_it(
    redis_proxy: FaultProxy, make_process: Callable[..., Tiers]
) -> None:
    reset_seconds = 60
    tiers = make_process(L1_ENABLED=False, BREAKER_RESET_SECONDS=reset_seconds)
    assert tiers.redis is not None
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    redis_proxy.hang()
    for _ in range(4):
        read(tiers, session.id)
    assert tiers.redis.breaker._opened_at is not None
    tiers.redis.breaker._opened_at -= reset_seconds  # as if it were over
    asked, together = _pieces(redis_proxy), threading.Barrier(6)
    took: list[float] = []

    def read_at_once(_: int) -> None:
        connection.ensure_connection()
        together.wait()
        took.append(seconds_of(lambda: read(tiers, session.id)))
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(read_at_once, range(6)))

    assert _pieces(redis_proxy) - asked == 1
    print(f"six reads took {min(took):.3f} to {max(took):.3f} s")
    assert max(took) < PROBE_SECONDS + 0.8


def test_r14_a_probe_that_is_answered_closes_the_breaker(
    redis_proxy: FaultProxy, make_process: Callable[..., Tiers]
) -> None:
    tiers = make_process(L1_ENABLED=False, BREAKER_RESET_SECONDS=0.1)
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    redis_proxy.hang()
    for _ in range(4):
        read(tiers, session.id)
    redis_proxy.pass_on()

    def reads_by_redis() -> bool:
        asked = _pieces(redis_proxy)
        read(tiers, session.id)
        read(tiers, session.id)
        return _pieces(redis_proxy) - asked >= 2

    wait_for(reads_by_redis, seconds=5)


def _pieces(proxy: FaultProxy) -> int:
    """Return how often Redis was asked or called: a call that finds no connection makes one."""
    return proxy.requests + proxy.connections

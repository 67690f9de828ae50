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

BUDGET_SECONDS = 0.05
NOISE_SECONDS = 0.035  # of the machine, in a median; two more calls of Redis would be 0.1


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def typical_seconds(work: Callable[[], Any], *, times: int = 9) -> float:
    return statistics.median(seconds_of(work) for _ in range(times))


def read(tiers: Tiers, session_id: str) -> None:
    """Read as a request does, with a budget of its own."""
    UnifiedSessionManager(tiers=tiers).get_session(session_id)


@pytest.fixture(params=["hang", "frozen", "slow"])
def make_slow(request: pytest.FixtureRequest, valkey: OwnServer) -> Iterator[Callable[..., None]]:
    """Return a function that makes a proxy's Redis hang, stop (SIGSTOP) or answer in 200±50 ms."""

    def fault(proxy: FaultProxy) -> None:
        if request.param == "hang":
            proxy.hang()
        elif request.param == "slow":
            proxy.delay(0.2, 0.05)
        else:
            valkey.freeze()

    yield fault
    valkey.thaw()


def test_r13_r14_a_request_spends_its_budget_on_redis_and_no_more(
    unbroken_site: FaultSite, make_slow: Callable[..., None]
) -> None:
    site = unbroken_site
    shopper = Shopper.start(site.base)
    usual = typical_seconds(shopper.get)

    make_slow(site.redis)
    answers: list[Any] = []
    read = typical_seconds(lambda: answers.append(shopper.get()))
    written = typical_seconds(
        lambda: answers.append(shopper.patch({"metadata": {"n": len(answers)}}))
    )

    print(f"a read {usual:.3f} s, with Redis away {read:.3f} s, a write {written:.3f} s")
    assert {each.status for each in answers} == {200}
    assert {each.headers["Session-Degraded"] for each in answers} == {"redis"}
    assert read - usual <= BUDGET_SECONDS + NOISE_SECONDS
    assert written - usual <= BUDGET_SECONDS + 2 * NOISE_SECONDS  # it does more by itself


def test_r13_r14_once_the_breaker_is_open_requests_do_not_wait(
    site: FaultSite, make_slow: Callable[..., None]
) -> None:
    shopper = Shopper.start(site.base)
    usual = typical_seconds(shopper.get)

    make_slow(site.redis)
    wait_for(lambda: shopper.get().headers["Session-Degraded"] == "redis")
    total = seconds_of(lambda: [shopper.get() for _ in range(40)])

    # Three that fail and a probe each BREAKER_RESET_SECONDS wait for their budget; the rest don't.
    print(f"40 reads in {total:.2f} s, usually {40 * usual:.2f} s")
    waiting = (4 + 2 * total) * BUDGET_SECONDS
    assert total <= 40 * (usual + 0.01) + waiting + 0.2


def test_r14_an_open_breaker_lets_one_probe_through_and_bounds_it(
    redis_proxy: FaultProxy, make_process: Callable[..., Tiers]
) -> None:
    reset_seconds = 0.4
    tiers = make_process(L1_ENABLED=False, BREAKER_RESET_SECONDS=reset_seconds)
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    redis_proxy.hang()
    for _ in range(4):
        read(tiers, session.id)
    time.sleep(reset_seconds)
    asked, together = _pieces(redis_proxy), threading.Barrier(6)
    took: list[float] = []

    def read_at_once(_: int) -> None:
        together.wait()
        took.append(seconds_of(lambda: read(tiers, session.id)))
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(read_at_once, range(6)))

    assert _pieces(redis_proxy) - asked == 1
    print(f"six reads took {min(took):.3f} to {max(took):.3f} s")
    assert max(took) <= BUDGET_SECONDS + 0.5  # each also makes a connection to the database


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

"""Redis refuses connections or resets them: reads go on, and the database is not overrun."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sessions_unified.tiers.rows import SESSIONS
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from tests.fault_site import FaultSite

LOAD = f"FROM {SESSIONS} WHERE id".encode()


def is_degraded(shopper: Shopper) -> bool:
    answer = shopper.get()
    assert answer.status == 200
    return answer.headers["Session-Degraded"] == "redis"


@pytest.mark.parametrize("fault", ["refuse", "reset"])
def test_r12_reads_and_writes_go_on_and_say_that_redis_is_away(
    patient_site: FaultSite, fault: str
) -> None:
    shopper = Shopper.start(patient_site.base)
    shopper.get()

    getattr(patient_site.redis, fault)()
    wait_for(lambda: is_degraded(shopper))
    reads = [shopper.get() for _ in range(20)]
    written = shopper.patch({"metadata": {"n": 1}})

    assert {each.status for each in reads} == {200}
    assert {each.headers["Session-Degraded"] for each in reads} == {"redis"}
    assert written.status == 200
    assert shopper.get().json["metadata"] == {"n": 1}


def test_r12_the_breaker_spares_a_redis_that_resets(patient_site: FaultSite) -> None:
    shopper = Shopper.start(patient_site.base)
    patient_site.redis.reset()
    wait_for(lambda: is_degraded(shopper))
    tried, began = patient_site.redis.connections, time.monotonic()

    for _ in range(100):
        shopper.get()

    # A probe each BREAKER_RESET_SECONDS; the channel tries again each HEARTBEAT_SECONDS.
    seconds = time.monotonic() - began
    assert patient_site.redis.connections - tried <= 10 + 10 * seconds


def test_r12_without_redis_a_read_costs_the_database_one_load(patient_site: FaultSite) -> None:
    shopper = Shopper.start(patient_site.base)
    patient_site.redis.refuse()
    wait_for(lambda: is_degraded(shopper))
    patient_site.database.count(LOAD)
    asked, began = patient_site.database.requests, time.monotonic()

    for _ in range(50):
        shopper.get()

    asked = patient_site.database.requests - asked
    print(f"50 reads: {patient_site.database.heard} loads, {asked} requests")
    assert patient_site.database.heard <= 50
    seconds = time.monotonic() - began
    assert asked <= 4 * 50 + 20 * seconds  # the watch asks too, each WATCH_SECONDS


def test_r12_without_redis_readers_of_one_session_share_a_load(patient_site: FaultSite) -> None:
    shopper = Shopper.start(patient_site.base)
    patient_site.redis.refuse()
    wait_for(lambda: is_degraded(shopper))
    patient_site.database.delay(0.3)  # so long that the slowest reader comes meanwhile
    patient_site.database.count(LOAD)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: shopper.get().status, range(18)))

    print(f"18 reads, 6 at a time: {patient_site.database.heard} loads")
    assert set(answers) == {200}
    assert patient_site.database.heard <= 9

"""Every fault after the other, under load: nothing acknowledged is lost, and the tiers agree."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from sessions_unified.models import SessionEvent, UnifiedSession
from tests.fault_recovery import RECOVERY_SECONDS, recover
from tests.live_site import Shopper

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fault_servers import OwnServer
    from tests.fault_site import FaultSite

FAULT_SECONDS = 0.3


@dataclass
class Load:
    """A shopper who writes and reads all the while, by turns at two processes."""

    shoppers: tuple[Shopper, Shopper]
    stop: threading.Event
    acknowledged: set[int] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    sent: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            self.sent += 1
            shopper = self.shoppers[self.sent % 2]
            try:
                written = shopper.patch({"metadata": {f"key-{self.sent}": 1}})
                self.statuses |= {written.status, shopper.get().status}
            except (http.client.HTTPException, ConnectionError):
                time.sleep(0.05)
                continue
            if written.status == 200:
                self.acknowledged.add(self.sent)


def test_r25_after_every_fault_nothing_is_lost_and_the_tiers_agree(
    pair: tuple[FaultSite, FaultSite], valkey: OwnServer
) -> None:
    first, second = pair
    stop = threading.Event()
    loads = []
    for _ in range(2):
        shopper = Shopper.start(first.base)
        loads.append(Load((shopper, second.at(shopper)), stop))

    def flush() -> None:
        with redis.Redis.from_url(valkey.url) as client:
            client.flushall()

    faults: list[Callable[[], object]] = [
        first.redis.refuse,
        second.redis.reset,
        first.redis.hang,
        lambda: second.redis.delay(0.2, 0.05),
        lambda: first.redis.cut_after(100),
        flush,
        first.database.refuse,
        second.database.reset,
        first.database.hang,
        lambda: second.database.delay(0.2, 0.05),
        lambda: first.database.cut_after(300),
        second.kill_workers,
    ]
    with ThreadPoolExecutor(len(loads)) as pool:
        running = [pool.submit(each.run) for each in loads]
        for fault in faults:
            fault()
            time.sleep(FAULT_SECONDS)
            first.heal()
            second.heal()
        stop.set()
        for each in running:
            each.result()
    seconds = recover(first, second)

    print(f"no divergence {seconds:.2f} s after the last fault")
    assert seconds <= RECOVERY_SECONDS
    for load in loads:
        row = UnifiedSession.objects.get(pk=load.shoppers[0].id)
        assert {f"key-{n}" for n in load.acknowledged} <= set(row.metadata)
        assert SessionEvent.objects.filter(session_id=row.pk).count() == row.version
        assert load.statuses <= {200, 412, 503}
        for shopper in load.shoppers:
            assert shopper.get().json["metadata"] == row.metadata
        print(f"{len(load.acknowledged)} of {load.sent} writes acknowledged, {load.statuses}")

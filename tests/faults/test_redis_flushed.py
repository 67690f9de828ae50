"""FLUSHALL under load: what was deleted stays deleted, and the database sees one load a key."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from sessions_unified.tiers.rows import SESSIONS
from tests.live_site import Shopper

if TYPE_CHECKING:
    from tests.fault_servers import OwnServer
    from tests.fault_site import FaultSite

LOAD = f"FROM {SESSIONS} WHERE id".encode()
BOUND_SECONDS = 2


@dataclass
class Reader:
    """Reads one session in a loop and keeps what it saw: (when it asked, status, version)."""

    shopper: Shopper
    seen: list[tuple[float, int, int]] = field(default_factory=list)

    def read(self) -> None:
        asked = time.monotonic()
        answer = self.shopper.get()
        version = answer.json["version"] if answer.status == 200 else 0
        self.seen.append((asked, answer.status, version))

    def read_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.read()

    @property
    def went_back(self) -> bool:
        """Whether a version came after a later one, or any after the session was gone."""
        versions = [float("inf") if status == 404 else version for _, status, version in self.seen]
        return any(after < before for before, after in itertools.pairwise(versions))


def test_r15_a_flush_under_load_revives_nothing_and_takes_nobody_back(
    patient_pair: tuple[FaultSite, FaultSite], valkey: OwnServer
) -> None:
    shoppers = [Shopper.start(patient_pair[0].base) for _ in range(3)]
    doomed = shoppers[0]
    readers = [Reader(site.at(each)) for site in patient_pair for each in shoppers]
    stop = threading.Event()

    with ThreadPoolExecutor(len(readers)) as pool, redis.Redis.from_url(valkey.url) as client:
        running = [pool.submit(each.read_until, stop) for each in readers]
        for number in range(12):
            client.flushall()
            shoppers[1].patch({"metadata": {"n": number}})
            if number == 6:
                assert doomed.send("DELETE", doomed.path).status == 204
                deleted = time.monotonic()
            client.flushall()
            time.sleep(0.05)
        stop.set()
        for each in running:
            each.result()

    assert {status for reader in readers for _, status, _ in reader.seen} == {200, 404}
    assert not [reader.shopper.base for reader in readers if reader.went_back]
    late = [
        status
        for reader in readers
        if reader.shopper.id == doomed.id
        for asked, status, _ in reader.seen
        if asked > deleted + BOUND_SECONDS
    ]
    assert set(late) <= {404}
    assert doomed.get().status == patient_pair[1].at(doomed).get().status == 404


def test_r15_a_flush_costs_the_database_one_load_a_session_and_process(
    patient_pair: tuple[FaultSite, FaultSite], valkey: OwnServer
) -> None:
    flushes, sessions = 5, 3
    shoppers = [Shopper.start(patient_pair[0].base) for _ in range(sessions)]
    readers = [Reader(site.at(each)) for site in patient_pair for each in shoppers]
    stop, began = threading.Event(), time.monotonic()
    for site in patient_pair:
        site.database.count(LOAD)

    with ThreadPoolExecutor(len(readers)) as pool, redis.Redis.from_url(valkey.url) as client:
        running = [pool.submit(each.read_until, stop) for each in readers]
        for _ in range(flushes):
            client.flushall()
            time.sleep(0.3)
        stop.set()
        for each in running:
            each.result()

    # A copy also ends by its age; and a first read may find another's lease standing.
    expired = (time.monotonic() - began) / BOUND_SECONDS
    allowed = sessions * (flushes + expired + 2) * 2
    loads = [site.database.heard for site in patient_pair]
    reads = sum(len(each.seen) for each in readers)
    print(f"{reads} reads, {flushes} flushes, loads {loads}, allowed {allowed:.0f} each")
    assert max(loads) <= allowed
    assert reads >= 4 * sum(loads)

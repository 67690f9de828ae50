"""The database refuses or resets: cached reads go on and say so, no write claims to have worked."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sessions_unified.models import SessionEvent, UnifiedSession
from tests.live_site import SOIL, Caller, Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from tests.fault_site import FaultSite
    from tests.live_site import Answer


ORDER = {"email": "ben@example.org", "products": SOIL}


def is_warm(shopper: Shopper) -> bool:
    shopper.get()
    tiers = shopper.send("GET", f"{shopper.path}/validate").json["tiers"]
    return any(tier["name"] == "memory" and tier["isPresent"] for tier in tiers)


@pytest.mark.parametrize("fault", ["refuse", pytest.param("reset", marks=pytest.mark.soak)])
def test_r18_cached_reads_go_on_marked_and_then_say_to_come_back(
    site: FaultSite, fault: str
) -> None:
    shopper = Shopper.start(site.base)
    wait_for(lambda: is_warm(shopper))
    shopper.patch({"metadata": {"n": 1}})  # a copy as young as can be
    shopper.get()
    stop = threading.Event()
    reads: list[Answer] = []

    def read() -> None:
        while not stop.is_set():
            reads.append(shopper.get())
            time.sleep(0.01)

    getattr(site.database, fault)()
    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(read)
        # As many as open the breaker: who only reads copies is told by it.
        written = list(pool.map(lambda n: shopper.patch({"metadata": {"n": n}}), range(2, 5)))
        wait_for(lambda: reads and reads[-1].status == 503)
        stop.set()
        reading.result()

    assert all(each.is_problem(503, "database_unavailable") for each in written)
    served = [each for each in reads if each.status == 200]
    assert {each.status for each in reads} == {200, 503}
    assert len(served) > 5
    assert {each.json["metadata"]["n"] for each in served} == {1}
    assert "database" in (served[-1].headers["Session-Degraded"] or "")
    assert {bool(each.headers["Retry-After"]) for each in reads if each.status == 503} == {True}


@pytest.mark.parametrize("fault", ["refuse", "reset"])
def test_r18_writes_are_refused_and_none_of_them_happened(site: FaultSite, fault: str) -> None:
    shopper = Shopper.start(site.base)
    sessions = UnifiedSession.objects.count()
    getattr(site.database, fault)()

    refused = [
        shopper.patch({"metadata": {"n": 1}}),
        shopper.send("POST", f"{shopper.path}/extend", {}),
        shopper.send("DELETE", shopper.path),
        shopper.pay(),
        Caller(base=site.base).send("POST", "/api/session/create", ORDER),
    ]

    assert site.livez().status == 200
    for answer in refused:
        assert answer.status == 503, answer.body
        assert answer.headers["Retry-After"]
        assert "Set-Cookie" not in answer.headers
    row = UnifiedSession.objects.get(pk=shopper.id)
    assert (row.version, row.metadata, row.holds) == (1, {}, 0)
    assert SessionEvent.objects.filter(session_id=shopper.id).count() == 1
    assert UnifiedSession.objects.count() == sessions


def test_r18_a_write_whose_answer_is_lost_is_no_success_and_happened_once_or_not(
    site: FaultSite,
) -> None:
    shopper = Shopper.start(site.base)
    answers = []

    for number in range(8):
        site.database.cut_after(number * 60)
        answers.append(shopper.patch({"metadata": {"n": number}}))
        site.database.pass_on()
        wait_for(lambda: shopper.patch({}).status == 200)

    assert {each.status for each in answers} <= {200, 503}
    row = UnifiedSession.objects.get(pk=shopper.id)
    events = SessionEvent.objects.filter(session_id=shopper.id).order_by("seq")
    assert list(events.values_list("seq", flat=True)) == list(range(1, row.version + 1))
    assert row.version >= 1 + sum(each.status == 200 for each in answers)


def test_r18_the_site_serves_again_as_soon_as_the_database_does(site: FaultSite) -> None:
    shopper = Shopper.start(site.base)
    site.database.refuse()
    assert shopper.patch({"metadata": {"n": 1}}).status == 503

    site.database.pass_on()
    healed = time.monotonic()
    wait_for(lambda: shopper.patch({"metadata": {"n": 2}}).status == 200)

    print(f"writes again after {time.monotonic() - healed:.2f} s")
    assert time.monotonic() - healed <= 10


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [15, 45])
@pytest.mark.parametrize("fault", ["refuse", "hang"])
def test_r18_a_long_outage_ends_for_the_site_when_it_ends_for_the_database(
    site: FaultSite, fault: str, seconds: int
) -> None:
    # Longer than the pool tries by itself, with requests all the while.
    shopper = Shopper.start(site.base)
    getattr(site.database, fault)()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        assert shopper.patch({"metadata": {"n": 1}}).status == 503
        time.sleep(0.05)

    site.database.pass_on()
    healed = time.monotonic()
    wait_for(lambda: shopper.patch({"metadata": {"n": 2}}).status == 200, seconds=30)

    print(f"writes {time.monotonic() - healed:.2f} s after {seconds} s of {fault}")

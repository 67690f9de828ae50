"""A worker is SIGKILLed in the middle of a write: one effect or none, in every tier."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sessions_unified.models import SessionEvent, UnifiedSession
from tests.live_site import Answer, Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fault_site import FaultSite

CUT = (http.client.HTTPException, ConnectionError)


def patch_until_cut(shopper: Shopper, number: int) -> Answer | None:
    """Write; None: the process died before it answered."""
    try:
        return shopper.patch({"metadata": {"n": number}})
    except CUT:
        return None


def is_whole(session_id: str) -> UnifiedSession:
    """Check that the row and its events are one story, and return the row."""
    row = UnifiedSession.objects.get(pk=session_id)
    events = SessionEvent.objects.filter(session_id=session_id).order_by("seq")
    assert list(events.values_list("seq", flat=True)) == list(range(1, row.version + 1))
    return row


def kill_during(site: FaultSite, write: Callable[[], object], *, asked: int) -> None:
    """Write, kill the worker once its statement is on its way, and wait for the next worker."""
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        wait_for(lambda: site.database.requests > asked)
        time.sleep(0.1)
        site.kill_workers()
        assert writing.result() is None
    site.heal()
    site.wait_until_up()


def test_r21_killed_before_its_statement_arrived_nothing_happened(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    site, other = patient_pair
    shopper = Shopper.start(site.base)
    other.at(shopper).get()

    site.database.hang()
    asked = site.database.requests
    kill_during(site, lambda: patch_until_cut(shopper, 1), asked=asked)

    assert is_whole(shopper.id).metadata == {}
    assert other.at(shopper).get().json["metadata"] == shopper.get().json["metadata"] == {}


def test_r21_killed_after_its_statement_and_before_the_caches_it_happened_once(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    site, other = patient_pair
    shopper = Shopper.start(site.base)
    other.at(shopper).get()

    site.database.mute(since=b"AS (UPDATE")  # so that its answer is still under way when it dies
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(patch_until_cut, shopper, 1)
        wait_for(lambda: UnifiedSession.objects.get(pk=shopper.id).version == 2)
        site.kill_workers()
        assert writing.result() is None
    site.heal()
    site.wait_until_up()

    assert is_whole(shopper.id).metadata == {"n": 1}
    wait_for(lambda: other.at(shopper).get().json["metadata"] == {"n": 1})
    assert shopper.get().json["metadata"] == {"n": 1}


def test_r21_killed_at_any_moment_no_acknowledged_write_is_lost(
    patient_site: FaultSite,
) -> None:
    shopper = Shopper.start(patient_site.base)
    acknowledged, sent, stop = 0, 0, threading.Event()

    def write() -> None:
        nonlocal acknowledged, sent
        while not stop.is_set():
            sent += 1
            answer = patch_until_cut(shopper, sent)
            if answer is not None and answer.status == 200:
                acknowledged = sent
            elif answer is None:
                time.sleep(0.05)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for _ in range(2):
            before = acknowledged
            wait_for(lambda before=before: acknowledged > before + 5, seconds=60)
            patient_site.kill_workers()
        stop.set()
        writing.result()
    patient_site.wait_until_up()

    row = is_whole(shopper.id)
    assert acknowledged <= row.metadata["n"] <= sent
    assert shopper.get().json["metadata"]["n"] >= acknowledged
    # One that committed and died before it told the caches is seen within the bound, not at once.
    wait_for(lambda: shopper.get().json["metadata"]["n"] == row.metadata["n"])

"""One node is cut off from Redis: nobody answers older than the bound, and no write is split."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sessions_unified.models import SessionEvent, UnifiedSession
from tests.fault_site import STATED
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fault_site import FaultSite

BOUND_SECONDS = 2
# An answer's way to us, on a busy machine.
TRAVEL_SECONDS = 0.3


def is_warm(shopper: Shopper) -> bool:
    """Read, and tell whether the process has a copy of its own by now."""
    shopper.get()
    tiers = shopper.send("GET", f"{shopper.path}/validate").json["tiers"]
    return any(tier["name"] == "memory" and tier["isPresent"] for tier in tiers)


def oldest_answer(writer: Shopper, reader: Shopper, *, bound_seconds: float) -> float:
    """Write, and return for how long the other process has answered with what was before."""
    wait_for(lambda: is_warm(reader))
    written = writer.patch({"metadata": {"n": 1}})
    committed = time.monotonic()
    assert written.status == 200
    assert writer.get().json["version"] == written.json["version"]
    oldest, old_answers = 0.0, 0
    while True:
        asked = time.monotonic()
        if reader.get().json["version"] == written.json["version"]:
            break
        oldest, old_answers = asked - committed, old_answers + 1
        assert oldest <= bound_seconds + TRAVEL_SECONDS
    print(f"the oldest of {old_answers} old answers was {oldest:.2f} s behind its write")
    assert old_answers  # there was something to bound
    return oldest


def is_cut_off(shopper: Shopper) -> bool:
    return shopper.get().headers["Session-Degraded"] == "redis"


@pytest.mark.parametrize("fault", ["refuse", pytest.param("hang", marks=pytest.mark.soak)])
def test_r05_r17_no_answer_is_older_than_the_bound_while_the_writer_reaches_no_cache(
    patient_pair: tuple[FaultSite, FaultSite], fault: str
) -> None:
    # No relay runs here, and no message or put of the writer arrives.
    cut_off, other = patient_pair
    writer = Shopper.start(cut_off.base)
    getattr(cut_off.redis, fault)()
    wait_for(lambda: is_cut_off(writer))

    oldest = oldest_answer(writer, other.at(writer), bound_seconds=BOUND_SECONDS)

    assert oldest <= BOUND_SECONDS + TRAVEL_SECONDS


@pytest.mark.soak
def test_r05_no_answer_is_older_than_the_stated_bound(start_site: Callable[..., FaultSite]) -> None:
    cut_off, other = start_site(STATED), start_site(STATED)
    writer = Shopper.start(cut_off.base)
    cut_off.redis.refuse()
    wait_for(lambda: is_cut_off(writer))

    oldest = oldest_answer(writer, other.at(writer), bound_seconds=60)

    assert oldest <= 60 + TRAVEL_SECONDS


@pytest.mark.parametrize("fault", [pytest.param("refuse", marks=pytest.mark.soak), "hang"])
def test_r17_writes_of_both_nodes_are_compare_and_set_in_the_database(
    patient_pair: tuple[FaultSite, FaultSite], fault: str
) -> None:
    cut_off, other = patient_pair
    here = Shopper.start(cut_off.base)
    there = other.at(here)
    there.get()
    getattr(cut_off.redis, fault)()

    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda n: (here, there)[n % 2].patch({"metadata": {f"key-{n}": n}}), range(20))
        )
    won = {n for n, answer in enumerate(answers) if answer.status == 200}

    row = UnifiedSession.objects.get(pk=here.id)
    assert {answer.status for answer in answers} <= {200, 412}
    assert row.metadata == {f"key-{n}": n for n in won}
    assert row.version == 1 + len(won)
    assert SessionEvent.objects.filter(session_id=here.id).count() == 1 + len(won)
    versions = [answers[n].json["version"] for n in won]
    assert len(set(versions)) == len(versions)


def test_r17_of_two_writes_of_one_version_one_is_refused(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    cut_off, other = patient_pair
    here = Shopper.start(cut_off.base)
    there = other.at(here)
    cut_off.redis.refuse()

    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda each: each.patch({"metadata": {"by": each.base}}, If_Match='"1"').status,
                (here, there),
            )
        )

    assert sorted(answers) == [200, 412]

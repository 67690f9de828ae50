"""The database hangs: the watch beside the requests does not hang with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fault_site import PATIENT_WITH_REDIS
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from tests.faults.conftest import StartSite
    from tests.live_site import Answer

# Cached reads ask the database nothing for as long as the test lasts: only the watch does.
SETTINGS = {
    "SESSIONS_UNIFIED": {
        "STALENESS_BOUND_SECONDS": 60,
        "BREAKER_FAILURES": 2,
        "HEARTBEAT_TIMEOUT_SECONDS": 10,
    }
}


def is_degraded(answers: list[Answer]) -> bool:
    return "database" in (answers[-1].headers["Session-Degraded"] or "")


def test_r18_who_only_reads_copies_is_told_that_it_hangs_and_that_it_is_back(
    start_site: StartSite,
) -> None:
    site = start_site(SETTINGS, **PATIENT_WITH_REDIS)
    shopper = Shopper.start(site.base)
    answers: list[Answer] = []

    def read() -> list[Answer]:
        answers.append(shopper.get())
        return answers

    wait_for(lambda: read()[-1].status == 200)
    site.database.hang()
    wait_for(lambda: is_degraded(read()))
    site.database.pass_on()
    wait_for(lambda: not is_degraded(read()))

    assert {each.status for each in answers} == {200}

"""The database hangs, waits for locks, or has no connection free: 503 within the budget."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from sessions_unified.tiers.rows import SESSIONS
from tests.fault_site import PATIENT, SHORT, STATED
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fault_site import FaultSite
    from tests.live_site import Answer

POOL_SECONDS = SHORT["POOL"]["timeout"]
BUDGET_SECONDS = SHORT["SESSIONS_UNIFIED"]["DATABASE_BUDGET_SECONDS"]
# What a request may take: a wait for a connection, its database time, and a busy machine.
LIMIT_SECONDS = POOL_SECONDS + BUDGET_SECONDS + 2
PATIENT_SECONDS = PATIENT["SESSIONS_UNIFIED"]["DATABASE_BUDGET_SECONDS"]
AT_ONCE = 6  # more than the pool's connections, less than the threads: /livez has one


@contextmanager
def locked_sessions(database_url: str) -> Iterator[None]:
    """Hold a lock that every statement on sessions waits for."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"LOCK TABLE {SESSIONS} IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def timed(ask: Callable[[], Answer]) -> tuple[float, Answer]:
    began = time.monotonic()
    answer = ask()
    return time.monotonic() - began, answer


def check_503(answers: list[tuple[float, Answer]]) -> None:
    for seconds, answer in answers:
        assert answer.status == 503, answer.body
        assert answer.headers["Retry-After"]
        assert seconds <= LIMIT_SECONDS
    print(f"503 after {min(answers)[0]:.2f} to {max(s for s, _ in answers):.2f} s")


def ask_during(
    site: FaultSite, ask: Callable[[int], Answer]
) -> tuple[list[tuple[float, Answer]], list[tuple[float, Answer]]]:
    """Ask ``AT_ONCE`` times at once, and /livez all the while; return both kinds of answers."""
    lives: list[tuple[float, Answer]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            lives.append(timed(site.livez))
            time.sleep(0.05)

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        looking = pool.submit(look)
        asked = [pool.submit(timed, lambda n=n: ask(n)) for n in range(AT_ONCE)]
        answers = [each.result() for each in asked]
        done.set()
        looking.result()
    return answers, lives


def check_lives(lives: list[tuple[float, Answer]]) -> None:
    assert {answer.status for _, answer in lives} == {200}
    # The usual one: a busy machine holds up one or the other.
    assert statistics.median(seconds for seconds, _ in lives) < BUDGET_SECONDS / 2
    assert len(lives) > 3


def test_r19_a_hanging_database_or_an_exhausted_pool_costs_a_request_its_budget(
    site: FaultSite,
) -> None:
    # Four get the pool's connections, which hang; the others wait for one.
    shoppers = [Shopper.start(site.base) for _ in range(AT_ONCE)]
    site.database.hang()

    answers, lives = ask_during(site, lambda n: shoppers[n].patch({"metadata": {"n": n}}))

    check_503(answers)
    check_lives(lives)


def test_r19_a_database_that_waits_for_locks_costs_a_request_its_budget(
    site: FaultSite, database_url: str
) -> None:
    shoppers = [Shopper.start(site.base) for _ in range(AT_ONCE)]
    # Every statement is quick enough; it is their sum that a request has no time for.
    with locked_sessions(database_url):
        answers, lives = ask_during(site, lambda n: shoppers[n].patch({"metadata": {"n": n}}))

    check_503(answers)
    check_lives(lives)


def test_r19_several_slow_statements_share_one_budget(site: FaultSite) -> None:
    shopper = Shopper.start(site.base)
    site.database.delay(0.4 * BUDGET_SECONDS)

    seconds, answer = timed(shopper.pay)

    print(f"{answer.status} after {seconds:.2f} s")
    assert answer.status == 503
    assert seconds <= LIMIT_SECONDS


def test_r19_cached_reads_do_not_wait_for_a_hanging_database(patient_site: FaultSite) -> None:
    shopper = Shopper.start(patient_site.base)
    wait_for(lambda: shopper.get().status == 200)
    shopper.patch({"metadata": {"n": 1}})
    shopper.get()
    patient_site.database.hang()

    seconds, answer = timed(shopper.get)

    assert answer.status == 200
    assert seconds < PATIENT_SECONDS / 2


@pytest.mark.soak
def test_r19_with_the_stated_budget(start_site: Callable[..., FaultSite]) -> None:
    site = start_site(STATED)
    shopper = Shopper.start(site.base)
    site.database.hang()

    seconds, answer = timed(lambda: shopper.patch({"metadata": {"n": 1}}))

    assert answer.status == 503
    assert seconds <= 5 + 2 + 1

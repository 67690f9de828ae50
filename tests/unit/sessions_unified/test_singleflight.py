"""One load a key."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_unified.exceptions import DatabaseUnavailableError, SessionNotFoundError
from sessions_unified.tiers.singleflight import SingleFlight


def test_r09_concurrent_loads_of_a_key_are_one() -> None:
    flights: SingleFlight[int] = SingleFlight(patience_seconds=5)
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        time.sleep(0.1)
        return 7

    with ThreadPoolExecutor(32) as pool:
        values = list(pool.map(lambda _: flights.do("k", load), range(32)))

    assert values == [7] * 32
    assert len(loads) == 1


def test_a_leader_that_fails_is_replaced() -> None:
    flights: SingleFlight[int] = SingleFlight(patience_seconds=5)
    waiting = threading.Event()

    def fail() -> int:
        waiting.wait(5)
        raise RuntimeError

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.do, "k", fail)
        follower = pool.submit(flights.do, "k", lambda: 7)
        time.sleep(0.05)
        waiting.set()

        assert follower.result(5) == 7
        with pytest.raises(RuntimeError):
            leader.result(5)


def test_an_error_that_is_an_answer_is_shared() -> None:
    flights: SingleFlight[int] = SingleFlight(patience_seconds=5)
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        time.sleep(0.1)
        raise SessionNotFoundError

    def call(_: int) -> str:
        try:
            return str(flights.do("k", load))
        except SessionNotFoundError:
            return "none"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == ["none"] * 4
    assert len(loads) == 1


def test_an_interrupt_of_the_leader_is_not_its_followers() -> None:
    flights: SingleFlight[int] = SingleFlight(patience_seconds=5)
    waiting = threading.Event()

    def be_stopped() -> int:
        waiting.wait(5)
        raise SystemExit

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.do, "k", be_stopped)
        follower = pool.submit(flights.do, "k", lambda: 7)
        time.sleep(0.05)
        waiting.set()

        assert follower.result(5) == 7
        with pytest.raises(SystemExit):
            leader.result(5)


def test_a_leader_without_time_for_the_database_does_not_fail_its_followers() -> None:
    flights: SingleFlight[int] = SingleFlight(patience_seconds=5)
    waiting = threading.Event()

    def run_out_of_time() -> int:
        waiting.wait(5)
        raise DatabaseUnavailableError

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.do, "k", run_out_of_time)
        follower = pool.submit(flights.do, "k", lambda: 7)
        time.sleep(0.05)
        waiting.set()

        assert follower.result(5) == 7
        with pytest.raises(DatabaseUnavailableError):
            leader.result(5)

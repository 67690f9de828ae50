"""One load a key."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from sessions_unified.exceptions import DatabaseUnavailableError, SessionNotFoundError
from sessions_unified.tiers.singleflight import SingleFlight


@pytest.fixture
def flights() -> SingleFlight[int]:
    return SingleFlight(patience_seconds=5)


def test_r09_concurrent_loads_of_a_key_are_one(flights: SingleFlight[int]) -> None:
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        time.sleep(0.1)
        return 7

    with ThreadPoolExecutor(32) as pool:
        values = list(pool.map(lambda _: flights.do("k", load), range(32)))

    assert values == [7] * 32
    assert len(loads) == 1


def test_an_error_that_is_an_answer_is_shared(flights: SingleFlight[int]) -> None:
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
        answers = list(pool.map(call, range(4)))

    assert answers == ["none"] * 4
    assert len(loads) == 1


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(RuntimeError, id="a fault"),
        pytest.param(SystemExit, id="being interrupted"),
        pytest.param(DatabaseUnavailableError, id="its budget for the database is spent"),
    ],
)
def test_a_leader_that_fails_is_replaced_and_fails_alone(
    flights: SingleFlight[int], failure: type[BaseException]
) -> None:
    waiting = threading.Event()

    def fail() -> NoReturn:
        waiting.wait(5)
        raise failure

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.do, "k", fail)
        follower = pool.submit(flights.do, "k", lambda: 7)
        time.sleep(0.05)
        waiting.set()

        assert follower.result(5) == 7
        with pytest.raises(failure):
            leader.result(5)

"""The circuit breaker: one probe, and never a lock held during a call."""

from __future__ import annotations

import threading

from sessions_unified.tiers.breaker import CircuitBreaker


class Time:
    """A monotonic clock that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(time: Time) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=2, reset_seconds=5, monotonic=time)
    breaker.failed()
    breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(failures=2, reset_seconds=5, monotonic=Time())

    breaker.failed()
    breaker.succeeded()
    breaker.failed()

    assert breaker.allows()


def test_open_it_refuses_until_the_reset() -> None:
    time = Time()
    breaker = opened(time)

    time.now = 4.9
    assert not breaker.allows()
    time.now = 5.0
    assert breaker.allows()


def test_half_open_exactly_one_of_many_threads_probes() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 6
    allowed: list[bool] = []
    start = threading.Barrier(8)

    def call() -> None:
        start.wait()
        allowed.append(breaker.allows())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(allowed) == 1


def test_a_failed_probe_opens_it_again_and_a_good_one_closes_it() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 6
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()

    time.now = 12
    assert breaker.allows()
    breaker.succeeded()

    assert breaker.allows()
    assert not breaker.is_open


def test_a_probe_whose_caller_died_is_replaced() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 6
    assert breaker.allows()

    time.now = 12

    assert breaker.allows()

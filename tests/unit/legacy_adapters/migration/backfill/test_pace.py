"""A person's own limit: rows a second, by a clock of the test."""

from __future__ import annotations

import pytest

from legacy_adapters.migration.backfill.pace import Throttle


class Time:
    """Passes only while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.longest = 0.0

    def sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def throttle_of(time: Time, rate: float | None, stops_at: float = 1e9) -> Throttle:
    return Throttle(
        rate,
        is_stopped=lambda: time.now >= stops_at,
        monotonic=lambda: time.now,
        sleep=time.sleep,
    )


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_so_many_a_second_whatever_the_batches(time: Time, batch: int) -> None:
    throttle = throttle_of(time, 50)

    for _ in range(200):
        throttle.wait()
        throttle.spend(batch)
    throttle.wait()

    assert time.now - 100 == pytest.approx(200 * batch / 50)


def test_work_that_takes_longer_than_its_share_waits_for_nothing(time: Time) -> None:
    throttle = throttle_of(time, 50)
    throttle.wait()
    time.now += 10
    throttle.spend(50)

    throttle.wait()

    assert time.now == 110


def test_time_that_was_not_used_is_not_saved_up(time: Time) -> None:
    throttle = throttle_of(time, 50)
    time.now += 3600

    throttle.wait()
    throttle.spend(100)
    throttle.wait()

    assert time.now == pytest.approx(100 + 3600 + 2)


def test_a_stop_ends_the_wait_soon(time: Time) -> None:
    throttle = throttle_of(time, 1, stops_at=101)
    throttle.wait()
    throttle.spend(1000)

    throttle.wait()

    assert time.now == pytest.approx(101, abs=0.2)
    assert time.longest <= 0.2


def test_a_batch_is_one_second_s_worth_at_most(time: Time) -> None:
    assert [throttle_of(time, rate).most for rate in (0.5, 1, 400, None)] == [1, 1, 400, None]


def test_without_a_limit_it_never_sleeps(time: Time) -> None:
    throttle = throttle_of(time, None)

    throttle.wait()
    throttle.spend(1_000_000)
    throttle.wait()

    assert time.longest == 0

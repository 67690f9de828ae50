"""The pacer, in a world where time passes only when somebody works or sleeps."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from sessions_unified.upkeep.load import Condition, Latency
from sessions_unified.upkeep.pacing import Pacer, interruptible

BUSY = Condition(trouble="5 connections wait for locks")
HEALTHY = Condition()


@dataclass
class World:
    """Time, and what was done with it."""

    now: float = 0.0
    condition: Condition = HEALTHY
    is_stopped: bool = False
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    def pacer(
        self, *, largest: int = 5000, limit_seconds: float | None = None, rests: bool = True
    ) -> Pacer:
        return Pacer(
            largest=largest,
            batch_seconds=0.25,
            observe=lambda: self.condition,
            limit_seconds=limit_seconds,
            is_stopped=lambda: self.is_stopped,
            rests=rests,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            jitter=lambda: 1.0,
        )

    def work(self, pacer: Pacer, *seconds: float) -> list[int]:
        """Do one batch for each of ``seconds``; return the sizes it was given."""
        sizes = []
        for took, size in zip(seconds, pacer.sizes(), strict=False):
            sizes.append(size)
            self.now += took
        return sizes


@pytest.fixture
def world() -> World:
    return World()


def test_quick_batches_let_it_grow_slowly_to_the_largest(world: World) -> None:
    pacer = world.pacer(largest=2000)

    sizes = world.work(pacer, *[0.1] * 6)

    assert sizes == [500, 751, 1127, 1691, 2000, 2000]


def test_a_slow_batch_halves_the_next_but_not_without_end(world: World) -> None:
    assert world.work(world.pacer(), *[1.0] * 6) == [500, 250, 125, 62, 50, 50]


def test_the_floor_is_never_above_the_largest(world: World) -> None:
    assert world.work(world.pacer(largest=3), 9.0, 9.0, 0.01, 0.01) == [3, 3, 3, 3]


def test_a_batch_that_takes_its_time_leaves_the_size(world: World) -> None:
    assert world.work(world.pacer(), 0.2, 0.2, 0.2) == [500, 500, 500]


def test_it_rests_a_quarter_of_what_a_batch_took(world: World) -> None:
    world.work(world.pacer(), 0.2, 0.2, 0.2)

    assert world.now == pytest.approx(0.2 * 3 + 0.05 * 2)


def test_a_busy_database_doubles_the_rests_up_to_a_limit_and_is_never_given_up(
    world: World,
) -> None:
    world.condition = BUSY
    began: list[float] = []

    for _, _size in zip(range(8), world.pacer().sizes(), strict=False):
        began.append(world.now)

    rests = [after - before for before, after in zip([0.0, *began], began, strict=False)]
    assert rests == pytest.approx([0.25, 0.5, 1, 2, 4, 5, 5, 5])


def test_a_busy_database_makes_the_batches_small(world: World) -> None:
    world.condition = BUSY

    sizes = world.work(world.pacer(), *[0.2] * 5)

    assert sizes == [250, 125, 62, 50, 50]


def test_when_the_database_is_well_again_the_rests_shrink(world: World) -> None:
    pacer = world.pacer()
    world.condition = BUSY
    sizes = pacer.sizes()
    for _ in range(3):
        next(sizes)
    world.condition = HEALTHY
    began = []
    for _ in range(4):
        next(sizes)
        began.append(world.now)

    rests = [after - before for before, after in pairwise(began)]
    assert rests == pytest.approx([0.25, 0, 0])
    assert pacer.trouble is None


def test_no_batch_begins_after_the_time_is_over(world: World) -> None:
    pacer = world.pacer(limit_seconds=1.0)

    sizes = world.work(pacer, *[0.2] * 100)

    assert len(sizes) == 4
    assert pacer.ended_by == "time"
    assert world.now < 1.2


def test_the_time_is_shared_by_all_that_is_done_under_one_pacer(world: World) -> None:
    pacer = world.pacer(limit_seconds=1.0)
    world.work(pacer, 0.5)

    assert len(world.work(pacer, *[0.2] * 100)) == 2


def test_even_a_long_rest_ends_with_the_time(world: World) -> None:
    world.condition = BUSY
    pacer = world.pacer(limit_seconds=3.0)

    world.work(pacer, *[0.0] * 100)

    assert 3.0 <= world.now < 3.25


def test_a_stop_is_heeded_between_batches_and_in_the_middle_of_a_rest(world: World) -> None:
    world.condition = BUSY
    pacer = world.pacer()
    sizes = pacer.sizes()
    for _ in range(5):
        next(sizes)
    world.slept.clear()
    sleep = world.sleep

    def stop_while_asleep(seconds: float) -> None:
        sleep(seconds)
        world.is_stopped = True

    pacer._sleep = stop_while_asleep

    assert list(sizes) == []
    assert pacer.ended_by == "stopped"
    assert sum(world.slept) <= 0.2


def test_a_hold_ends_it_before_the_first_batch(world: World) -> None:
    world.condition = Condition(is_held=True)
    pacer = world.pacer(rests=False)

    assert list(pacer.sizes()) == []
    assert pacer.ended_by == "held"


def test_without_rests_it_takes_the_largest_batches_and_never_sleeps(world: World) -> None:
    world.condition = BUSY

    sizes = world.work(world.pacer(rests=False), *[9.0] * 3)

    assert sizes == [5000, 5000, 5000]
    assert world.slept == []


class TestLatency:
    def test_the_first_one_known_is_the_best(self) -> None:
        assert not Latency().is_slow(0.02)

    def test_much_slower_than_the_best_is_slow(self) -> None:
        latency = Latency()
        latency.is_slow(0.001)

        assert latency.is_slow(0.005)
        assert not latency.is_slow(0.003)

    def test_what_no_shopper_feels_is_never_slow(self) -> None:
        latency = Latency()
        latency.is_slow(0.0001)

        assert not latency.is_slow(0.0019)

    def test_what_every_shopper_feels_is_always_slow(self) -> None:
        assert Latency().is_slow(0.06)

    def test_a_database_that_stays_slower_becomes_the_norm_in_the_end(self) -> None:
        latency = Latency()
        latency.is_slow(0.001)

        verdicts = [latency.is_slow(0.006) for _ in range(300)]

        assert all(verdicts[:50])
        assert not verdicts[-1]


class TestInterruptible:
    def test_the_first_ctrl_c_asks_and_the_second_interrupts(self) -> None:
        with interruptible() as is_wanted:
            assert not is_wanted()
            os.kill(os.getpid(), signal.SIGINT)
            assert is_wanted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    def test_afterwards_all_is_as_before(self) -> None:
        before = signal.getsignal(signal.SIGTERM)

        with interruptible():
            assert signal.getsignal(signal.SIGTERM) is not before

        assert signal.getsignal(signal.SIGTERM) is before

    def test_other_threads_are_left_alone(self) -> None:
        answers = []

        def work() -> None:
            with interruptible() as is_wanted:
                answers.append(is_wanted())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

        assert answers == [False]

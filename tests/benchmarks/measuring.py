"""How every row is timed: two sides, in interleaved blocks, and the median of the rounds' p50s."""

from __future__ import annotations

import cProfile
import io
import pstats
import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Operation = Callable[[Any], object]

_PROFILED_LINES: Final = 18


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How often each side is called.

    Attributes:
        operations: calls a side and round.
        rounds: how many rounds; each has a p50 and a p99 of its own.
        block: calls of one side before it is the other's turn.

    """

    operations: int = 3000
    rounds: int = 3
    block: int = 500


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two things compared.

    Attributes:
        start: called before each block, untimed; returns what is timed, called with a key.
        keys: rotate from call to call and from round to round.
        prepare: called before each round with the keys of that round, untimed.
        proof: held around each block, given its number of calls; raises if what was timed was not
            what the row says.

    """

    start: Callable[[], Operation]
    keys: Sequence[Any]
    prepare: Callable[[Sequence[Any]], object] = lambda keys: None
    proof: Callable[[int], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a row measured, in µs a call (or a row, for rates)."""

    p50_us: float
    p99_us: float
    baseline_p50_us: float


def compare(ours: Side, baseline: Side, plan: Plan) -> Measured:
    """Time both sides in turn; see `Plan`."""
    empty = empty_nanoseconds()
    rounds = [_round(ours, baseline, plan, number) for number in range(plan.rounds)]
    mine, theirs = zip(*rounds, strict=True)
    return Measured(
        p50_us=_microseconds([percentile(spent, 50) for spent in mine], empty),
        p99_us=_microseconds([percentile(spent, 99) for spent in mine], empty),
        baseline_p50_us=_microseconds([percentile(spent, 50) for spent in theirs], empty),
    )


def percentile(spent: Sequence[float], percent: int) -> float:
    """Return the value that ``percent`` % of ``spent`` do not pass."""
    ranked = sorted(spent)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def empty_nanoseconds() -> float:
    """Return what timing nothing takes: it is taken off every figure."""
    spent = timed(_nothing, range(20_000))
    doubled = timed(_twice_nothing, range(20_000))
    call = percentile(doubled, 50) - percentile(spent, 50)
    return max(0.0, percentile(spent, 50) - max(0.0, call))


def timed(operation: Operation, keys: Sequence[Any]) -> list[int]:
    """Return the ns of each call."""
    clock = time.perf_counter_ns
    spent: list[int] = []
    note = spent.append
    for key in keys:
        began = clock()
        operation(key)
        note(clock() - began)
    return spent


def profile(side: Side, plan: Plan) -> str:
    """Return where one round of a side spends its time, by cProfile."""
    keys = _rotated(side.keys, 0, plan.operations)
    side.prepare(keys)
    operation, profiler = side.start(), cProfile.Profile()
    profiler.enable()
    for key in keys:
        operation(key)
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(_PROFILED_LINES)
    return text.getvalue()


def _round(ours: Side, baseline: Side, plan: Plan, number: int) -> tuple[list[int], list[int]]:
    sides = (ours, baseline)
    keys = [_rotated(side.keys, number * plan.operations, plan.operations) for side in sides]
    for side, own in zip(sides, keys, strict=True):
        side.prepare(own)
    spent: tuple[list[int], list[int]] = ([], [])
    for begin in range(0, plan.operations, plan.block):
        for side, own, noted in zip(sides, keys, spent, strict=True):
            block = own[begin : begin + plan.block]
            operation = side.start()
            with side.proof(len(block)):
                noted.extend(timed(operation, block))
    return spent


def _rotated(keys: Sequence[Any], begin: int, number: int) -> list[Any]:
    return [keys[(begin + position) % len(keys)] for position in range(number)]


def _microseconds(nanoseconds: Sequence[float], empty: float) -> float:
    return max(0.0, statistics.median(nanoseconds) - empty) / 1000


def _nothing(_: object) -> None:
    return None


def _twice_nothing(key: object) -> None:
    _nothing(key)

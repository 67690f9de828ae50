"""The harness of `make bench`: what it calls when, and what it makes of the times."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks import measuring
from tests.benchmarks.measuring import Plan, Side, compare, percentile, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.benchmarks.measuring import Operation

PLAN = Plan(operations=4, rounds=3, block=2)


def side(calls: list[str], name: str, *, keys: Any = "abcde", **more: Any) -> Side:
    return Side(start=lambda: lambda key: calls.append(f"{name}{key}"), keys=keys, **more)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that says what each block of either side takes, in ns a call."""

    def take(*blocks: list[int], empty: float = 0) -> None:
        left = iter(blocks)

        def take_next(operation: Operation, keys: list[str]) -> list[int]:
            return next(left)

        monkeypatch.setattr(measuring, "timed", take_next)
        monkeypatch.setattr(measuring, "empty_nanoseconds", lambda: empty)

    return take


def test_the_sides_take_turns_in_blocks() -> None:
    calls: list[str] = []

    compare(side(calls, "o"), side(calls, "b"), Plan(operations=4, rounds=1, block=2))

    assert calls == ["oa", "ob", "ba", "bb", "oc", "od", "bc", "bd"]


def test_keys_rotate_from_round_to_round() -> None:
    calls: list[str] = []

    compare(side(calls, "o"), side([], "b"), PLAN)

    assert calls == [f"o{key}" for key in "abcdeabcdeab"]


def test_a_round_is_prepared_with_its_own_keys() -> None:
    prepared: list[str] = []

    compare(side([], "o", prepare=lambda keys: prepared.append("".join(keys))), side([], "b"), PLAN)

    assert prepared == ["abcd", "eabc", "deab"]


def test_every_block_is_proven() -> None:
    proven: list[int] = []

    @contextmanager
    def proof(calls: int) -> Iterator[None]:
        yield
        proven.append(calls)

    compare(side([], "o", proof=proof), side([], "b"), PLAN)

    assert proven == [2] * 6


def test_a_proof_that_fails_ends_the_row() -> None:
    @contextmanager
    def proof(calls: int) -> Iterator[None]:
        yield
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        compare(side([], "o", proof=proof), side([], "b"), PLAN)


def test_an_operation_is_started_anew_for_each_block() -> None:
    started: list[int] = []

    def start() -> Operation:
        started.append(1)
        return str

    compare(Side(start=start, keys="ab"), side([], "b"), PLAN)

    assert len(started) == 6


def test_the_figure_is_the_median_of_the_rounds(times: Callable[..., None]) -> None:
    plan = Plan(operations=3, rounds=3, block=3)
    times([1000, 2000, 3000], [9000] * 3, [8000] * 3, [7000] * 3, [4000] * 3, [1000] * 3)

    measured = compare(side([], "o"), side([], "b"), plan)

    assert measured.p50_us == 4
    assert measured.baseline_p50_us == 7


def test_what_timing_costs_is_taken_off_both_sides(times: Callable[..., None]) -> None:
    plan = Plan(operations=1, rounds=1, block=1)
    times([1000], [5000], empty=40)

    measured = compare(side([], "o"), side([], "b"), plan)

    assert (measured.p50_us, measured.p99_us, measured.baseline_p50_us) == (0.96, 0.96, 4.96)


@pytest.mark.parametrize(("percent", "value"), [(50, 51), (99, 100), (100, 100)])
def test_percentile(percent: int, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_each_call_is_timed_with_its_key() -> None:
    seen: list[int] = []

    spent = timed(seen.append, [1, 2, 3])

    assert seen == [1, 2, 3]
    assert len(spent) == 3
    assert all(each >= 0 for each in spent)

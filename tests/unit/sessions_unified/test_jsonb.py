"""What is written is, from the beginning, what the database will give back."""

from __future__ import annotations

import enum
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified.jsonb import as_stored, is_same
from sessions_unified.snapshot import FrozenDict, Product, Upsells, freeze
from tests.json_types import typed


class Colour(enum.StrEnum):
    """Text that is not quite text."""

    RED = "red"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (1e16, 10**16),
        (-1e16, -(10**16)),
        (6.349506568312069e16, 63495065683120688),
        (1e22, 10**22),
        (1e23, 99999999999999991611392),
        (1e300, int(1e300)),
        (9999999999999998.0, 9999999999999998.0),
        (2.0**53, 2.0**53),
        (5e-324, 5e-324),
        (1e-7, 1e-7),
        (1.0, 1.0),
        (0.0, 0.0),
        (Decimal("12.50"), 12.5),
        (Decimal("12.00"), 12.0),
        (Decimal("1.5E+2"), 150),
        (Decimal("0E+5"), 0),
        (Decimal(12), 12),
        (Decimal("1e17"), 10**17),
        (2**64, 2**64),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (Colour.RED, "red"),
        ({1}, (1,)),
    ],
)
def test_a_value_is_what_jsonb_makes_of_it(written: Any, stored: Any) -> None:
    assert typed(as_stored(written)) == typed(stored)


def test_there_is_no_negative_zero() -> None:
    assert str(as_stored(-0.0)) == "0.0"
    assert str(as_stored(Decimal("-0.0"))) == "0.0"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_and_changes_no_second_time(number: float) -> None:
    stored = as_stored(number)

    assert stored == number
    assert typed(as_stored(stored)) == typed(stored)


def test_it_goes_into_objects_lists_products_and_upsells() -> None:
    nested = freeze({"a": {"b": [1, {"c": 1e17}]}, "d": "x"})

    assert typed(as_stored(nested)) == typed(freeze({"a": {"b": [1, {"c": 10**17}]}, "d": "x"}))
    product = Product(id="SOIL", quantity=1, extra=nested)
    assert as_stored((product,))[0].extra == as_stored(nested)
    assert as_stored(Upsells(accepted=("a",), details=nested)) == Upsells(
        accepted=("a",), details=as_stored(nested)
    )


@pytest.mark.parametrize(
    "ordinary",
    [
        freeze({"utm": "x", "visits": 3, "on": True, "none": None, "rate": 0.5}),
        freeze({"lines": [{"a": 1.0}, ["b", 2.5]], "deep": {"er": {"x": 1}}}),
        (Product(id="SOIL", quantity=1, extra=freeze({"a": 1.5})),),
        Upsells(details=freeze({"serum": {"amount": 19.5}})),
        FrozenDict(),
    ],
)
def test_an_ordinary_value_is_not_copied(ordinary: Any) -> None:
    assert as_stored(ordinary) is ordinary


def test_what_is_not_frozen_becomes_so() -> None:
    stored = as_stored(OrderedDict(a=[1e17], b={"c": 1}))

    assert stored == {"a": (10**17,), "b": {"c": 1}}
    assert type(stored) is type(stored["b"]) is FrozenDict


def test_a_name_is_text() -> None:
    assert as_stored(freeze({1: None, Colour.RED: 1})) == {"1": None, "red": 1}
    assert all(type(name) is str for name in as_stored(freeze({Colour.RED: 1})))
    assert as_stored(freeze({"1": None, 1: None})) == {"1": None}


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("-Infinity")),
        *(Decimal("1E+5000"), Decimal("1E-5000"), object(), 1j, {None: 1}),
        OrderedDict(a=float("nan")),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_stored(freeze({"a": [value]}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (freeze({"a": [1, {"b": 2}]}), freeze({"a": [1.0, {"b": 2}]}), True),
        (freeze({"a": 1}), freeze({"a": True}), False),
        (freeze({"a": [0, {"b": False}]}), freeze({"a": [0, {"b": 0}]}), False),
        (freeze({"a": 1}), freeze({"a": 1, "b": 2}), False),
        (freeze({"a": 1, "b": 2}), freeze({"b": 2, "a": 1}), True),
        (Decimal("1.50"), Decimal("1.5"), True),
        (None, freeze({}), False),
        (freeze({}), None, False),
        ("x", "x", True),
    ],
)
def test_sameness_is_json_s(one: Any, other: Any, same: bool) -> None:
    def lines(extra: Any) -> Any:
        return (Product(id="a", quantity=1, extra=extra or FrozenDict()),)

    assert is_same(one, other) is same
    if isinstance(one, FrozenDict) and isinstance(other, FrozenDict):
        assert is_same(lines(one), lines(other)) is same
        assert is_same(Upsells(details=one), Upsells(details=other)) is same

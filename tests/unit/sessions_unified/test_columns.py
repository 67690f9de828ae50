"""Sessions as lines of text: one of them leaf by leaf, several side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified.columns import Column, side_by_side
from sessions_unified.field_lines import Leaf, differing_leaves, label, leaves, text

SOIL = {"id": "SOIL", "name": "Living Soil", "price": Decimal("12.50"), "quantity": 2}
LIME = {"id": "LIME", "name": "", "price": None, "quantity": 1}
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=200),
    lambda inner: st.dictionaries(st.text(max_size=60), inner, max_size=4),
    max_leaves=8,
)


def lines(*columns: Column) -> list[str]:
    return [line.text for line in side_by_side(columns)]


class TestLeaves:
    def test_an_object_is_taken_apart(self) -> None:
        session = {"customer": {"name": "Ana", "address": {"zip": "01101", "street": {}}}}

        assert list(leaves(session)) == [
            Leaf("customer", "customer.name", "Ana"),
            Leaf("customer", "customer.address.zip", "01101"),
            Leaf("customer", "customer.address.street", "-"),
        ]

    def test_every_product_has_a_line_and_the_first_the_name(self) -> None:
        first, second = leaves({"products": [SOIL, LIME]})

        assert first.text == "2 x SOIL  Living Soil  12.50"
        assert second.text == "1 x LIME    -"
        assert [label(first.path), label(second.path)] == ["products", ""]
        assert list(leaves({"products": []})) == [Leaf("products", "products", "-")]

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (None, "-"),
            ((), "-"),
            (0, "0"),
            (False, "False"),
            (Decimal("1.50"), "1.50"),
            (datetime(2026, 11, 21, 8, 5, 6, 999, tzinfo=UTC), "2026-11-21 08:05:06 UTC"),
            ([{"a": Decimal("1.50")}], '[{"a":1.50}]'),
            ("a\x1b[31mb\nc", "a·[31mb·c"),
            ("Zoë 花", "Zoë 花"),
        ],
    )
    def test_values(self, value: object, shown: str) -> None:
        assert text(value) == shown


class TestDifferingLeaves:
    def test_those_of_the_named_fields_that_are_not_alike(self) -> None:
        here = {"customer": {"a": 1, "b": 2}, "email": "x"}
        there = {"customer": {"a": 1, "b": 3, "c": 4}, "email": "y"}

        found = differing_leaves(here, there, ["customer"])

        assert found == {"customer.b", "customer.c"}

    def test_a_difference_that_looks_alike_marks_the_whole_field(self) -> None:
        here, there = {"metadata": {"a": 1, "b": 2}}, {"metadata": {"a": "1", "b": "2"}}

        assert differing_leaves(here, there, ["metadata"]) == {"metadata.a", "metadata.b"}


class TestSideBySide:
    def test_a_column_a_store(self) -> None:
        here = Column("here", {"id": "ws_1_a", "status": "pending", "amount": Decimal("1.50")})
        there = Column("the old one", {"id": "ws_1_a", "status": "failed"}, {"status"})

        assert lines(here, there) == [
            "           here      the old one",
            "  status   pending ≠ failed",
            "  amount   1.50",
        ]
        assert [line.differs for line in side_by_side([here, there])] == [False, True, False]

    def test_what_only_the_second_has_stands_with_its_field(self) -> None:
        here = Column("here", {"customer": {"a": 1}, "status": "x"})
        there = Column("there", {"customer": {"a": 1, "b": 2}, "status": "x"})

        assert [line.split()[0] for line in lines(here, there)[1:]] == [
            "customer.a",
            "customer.b",
            "status",
        ]
        assert lines(here, there)[2].split() == ["customer.b", "-", "2"]

    def test_an_empty_object_beside_a_full_one_needs_no_line(self) -> None:
        here, there = Column("here", {"customer": None}), Column("there", {"customer": {"a": 1}})

        assert lines(here, there)[1].split() == ["customer.a", "-", "1"]
        assert lines(here, here)[1].split() == ["customer", "-", "-"]

    def test_more_products_there(self) -> None:
        here, there = Column("here", {"products": []}), Column("there", {"products": [SOIL, LIME]})

        assert [line.split() for line in lines(here, there)[1:]] == [
            ["products", "-", "2", "x", "SOIL", "Living", "Soil", "12.50"],
            ["-", "1", "x", "LIME", "-"],
        ]

    def test_nothing_on_one_side(self) -> None:
        assert lines(Column("here", {}), Column("there", {"id": "ws_1_a", "status": "x"})) == [
            "           here   there",
            "  status          x",
        ]

    @given(st.lists(st.dictionaries(st.text(max_size=60), JSON, max_size=4), max_size=5))
    def test_every_line_is_one_that_fits_a_terminal(
        self, metadata: list[dict[str, object]]
    ) -> None:
        columns = [Column(f"store {place}", {"metadata": m}) for place, m in enumerate(metadata)]

        found = lines(*columns) if columns else []

        assert all(len(line) <= 118 and line.isprintable() for line in found)

"""Snapshots are frozen to the last leaf and keep secrets out of logs."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified.snapshot import FrozenDict, freeze
from tests.contracts.tier import RICH
from tests.sessions import snapshot

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_nothing_in_a_snapshot_can_be_changed() -> None:
    session = snapshot(**RICH)
    assert session.customer is not None

    with pytest.raises(AttributeError):
        session.email = "x"  # type: ignore[misc]
    for change in (
        lambda: session.metadata.update(a=1),
        lambda: session.metadata["utm"][1].pop("y"),
        lambda: session.customer.__setitem__("firstName", "x"),
        session.customer["address"].clear,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()


@given(value=st.dictionaries(st.text(), json_values))
def test_freezing_keeps_the_json(value: dict[str, object]) -> None:
    frozen = freeze(value)

    assert msgspec.json.decode(msgspec.json.encode(frozen)) == value
    assert copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert hash(frozen) == hash(freeze(value))


def test_a_repr_shows_neither_people_nor_cards() -> None:
    text = repr(snapshot(**RICH))

    assert "ana@" not in text
    assert "v1" not in text.replace(" v1 ", "")
    assert "tok" not in text


def test_products_are_exact() -> None:
    assert snapshot(**RICH).products[0].price == Decimal("12.50")
    assert isinstance(snapshot(**RICH).metadata, FrozenDict)

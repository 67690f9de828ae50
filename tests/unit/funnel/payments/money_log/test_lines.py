"""Whatever is on record as an attempt's lines, what is booked adds up to its amount."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.lines import Line
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.recording import lines_of
from funnel.payments.money_log.statement import Balance

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
TEXTS = st.text(max_size=20)
AMOUNTS = st.sampled_from(["1", "2.50", "-1", "0", "0.005", "NaN", "sNaN", "Infinity", "1e30", "x"])
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": TEXTS | JSON,
            "item": TEXTS | JSON,
            "name": TEXTS | JSON,
            "quantity": st.integers() | JSON,
            "amount": AMOUNTS | JSON,
        }
    )
)


def attempt(lines: Any, amount: str = "3.50", currency: str = "USD") -> ChargeAttempt:
    return ChargeAttempt(purpose="checkout", amount=Decimal(amount), currency=currency, lines=lines)


@given(JSON | LINES)
def test_any_record_adds_up(lines: Any) -> None:
    found = lines_of(attempt(lines))

    assert sum(each.amount for each in found) == Decimal("3.50")
    assert all(isinstance(each.name, str) and len(each.kind) <= 16 for each in found)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=5), st.sampled_from(["USD", "JPY"]))
def test_lines_that_add_up_are_kept(numbers: list[int], currency: str) -> None:
    unit = Decimal("0.01") if currency == "USD" else Decimal(1)
    lines = tuple(
        Line(kind="product", item=f"p{n}", name="", quantity=1, amount=n * unit) for n in numbers
    )
    total = str(sum(numbers) * unit)

    assert lines_of(attempt([each.to_json() for each in lines], total, currency)) == lines


def test_a_sub_cent_line_is_not_split() -> None:
    line = Line(kind="product", item="a", name="a", quantity=1, amount=Decimal("1.005"))
    rest = Line(kind="product", item="b", name="b", quantity=1, amount=Decimal("2.495"))

    (whole,) = lines_of(attempt([line.to_json(), rest.to_json()]))

    assert whole.amount == Decimal("3.50")


def test_balances_add_up_and_are_rounded_to_their_currency() -> None:
    one = Balance(charged=Decimal(10), refunded=Decimal(4), owed=Decimal(1))

    both = one + one

    assert (both.charged, both.refunded, both.owed, both.net) == (20, 8, 2, 12)
    assert str(both.rounded("KWD").net) == "12.000"
    assert str(both.rounded("JPY").net) == "12"

"""What an amount is for: lines, kept as JSON and told in a few words."""

from __future__ import annotations

from decimal import Decimal

from funnel.payments.lines import Line, described, from_json, total


def line(name: str = "Living Soil 5L", *, quantity: int = 2, amount: str = "25.00") -> Line:
    return Line(kind="product", item="SOIL", name=name, quantity=quantity, amount=Decimal(amount))


def test_lines_come_back_as_they_were_kept() -> None:
    lines = (line(), line("Clay Pot", quantity=3, amount="0.30"))

    assert from_json([each.to_json() for each in lines]) == lines


def test_they_add_up_in_their_currencys_decimals() -> None:
    assert str(total([line(amount="25"), line(amount="0.30")], "USD")) == "25.30"
    assert str(total([line(amount="500"), line(amount="250")], "JPY")) == "750"
    assert str(total([], "KWD")) == "0.000"


def test_a_few_words_say_what_it_is_and_never_too_many() -> None:
    assert described([line(), line("Clay Pot", quantity=3)]) == "2 x Living Soil 5L, 3 x Clay Pot"
    assert described([line("")]) == "2 x SOIL"
    assert len(described([line("x" * 300)])) == 255

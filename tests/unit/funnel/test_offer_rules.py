"""Mistakes in the table of offers, each found by the check ``funnel.E020``."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks

from funnel.catalog import OFFERS, Offer
from funnel.offer_rules import offer_mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator


def offer(offer_id: str = "upsell-1-rake", **fields: Any) -> Offer:
    defaults = {"step": "upsell-1", "name": "Rake", "price": Decimal("9.99"), "summary": "Rakes."}
    return Offer(id=offer_id, **(defaults | fields))


def mistakes(*offers: Offer) -> list[str]:
    return offer_mistakes({each.id: each for each in offers})


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Offer]]:
    """Return the real table, restored afterwards."""
    before = dict(OFFERS)
    yield OFFERS
    OFFERS.clear()
    OFFERS.update(before)


def test_the_shops_own_offers_are_fine() -> None:
    assert offer_mistakes(OFFERS) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (offer("x" * 65), "is not of 1 to 64 characters"),
        (offer(""), "is not of 1 to 64 characters"),
        (offer("SOIL", step="checkout"), "SOIL is a product's id too."),
        (offer(step="upsell-9"), "made at 'upsell-9'"),
        (offer(step="processing"), "made at 'processing'"),
        (offer(step="success"), "made at 'success'"),
        (offer(price=Decimal(0)), "The price of upsell-1-rake, 0,"),
        (offer(price=Decimal("-1.00")), "-1.00"),
        (offer(price=Decimal("9.999")), "9.999"),
        (offer(follows="upsell-1-spade"), "which is no offer of upsell-1"),
        (offer(follows="upsell-1-rake"), "follows itself"),
    ],
)
def test_a_mistake_is_named(wrong: Offer, said: str) -> None:
    [found] = mistakes(wrong)

    assert said in found


def test_an_offer_follows_one_of_its_own_step_and_a_bump_none() -> None:
    later = offer("upsell-2-rake", step="upsell-2", follows="upsell-1-rake")
    bump = offer("bump-rake", step="checkout", follows="upsell-1-rake")

    assert mistakes(offer(), later) == [
        "upsell-2-rake follows upsell-1-rake, which is no offer of upsell-2."
    ]
    assert mistakes(offer(), bump) == ["bump-rake is an order bump, which can follow nothing."]


def test_a_circle_never_opens() -> None:
    found = mistakes(offer("a", follows="b"), offer("b", follows="c"), offer("c", follows="a"))

    assert found == [f"{each} follows itself, so it never opens." for each in "abc"]


def test_a_chain_is_no_circle() -> None:
    assert mistakes(offer("a"), offer("b", follows="a"), offer("c", follows="b")) == []


def test_e020_names_what_is_wrong(table: dict[str, Offer]) -> None:
    table["upsell-1-rake"] = offer(price=Decimal(0))

    found = [each for each in run_checks() if each.id == "funnel.E020"]

    assert len(found) == 1
    assert "upsell-1-rake" in found[0].msg
    assert found[0].hint

"""Prices and offers: the shop's own, exact to the cent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.staticfiles import finders
from hypothesis import given
from hypothesis import strategies as st

from funnel.catalog import MAX_ORDER_AMOUNT, OFFERS, PRODUCTS, bumps, offers_at, price
from sessions_unified.exceptions import PricingError
from sessions_unified.flow import FlowTable, default_moves

lines = st.builds(
    dict, id=st.sampled_from(sorted(PRODUCTS)), quantity=st.integers(min_value=1, max_value=100)
)


def test_the_demo_sells_what_the_samples_name() -> None:
    assert set(PRODUCTS) == {"SEED-1", "SEED-3", "SOIL", "LAMP", "POT"}
    assert {offer.id: (offer.step, str(offer.price)) for offer in OFFERS.values()} == {
        "bump-labels": ("checkout", "4.90"),
        "bump-mister": ("checkout", "7.50"),
        "upsell-1-serum": ("upsell-1", "29.99"),
        "upsell-1-bundle": ("upsell-1", "29.99"),
        "upsell-1-serum-small": ("upsell-1", "12.99"),
        "upsell-2-subscription": ("upsell-2", "29.99"),
        "upsell-2-lamp": ("upsell-2", "29.99"),
    }


def test_every_offer_is_made_at_a_step_of_the_flow() -> None:
    steps = FlowTable(default_moves()).steps

    for step in steps:
        assert all(offer.step == step for offer in offers_at(step))
    assert sum(len(offers_at(step)) for step in steps) + len(bumps()) == len(OFFERS)
    assert offers_at("nowhere") == offers_at("checkout") == ()


def test_every_product_and_offer_has_a_picture() -> None:
    for name in (*PRODUCTS, *OFFERS):
        assert finders.find(f"storefront/products/{name.lower()}.svg"), name


def test_a_bump_is_priced_once_beside_a_product_and_marked() -> None:
    priced = price([{"id": "SOIL", "quantity": 2}, {"id": "bump-labels", "quantity": 1}])

    assert priced.amount == Decimal("29.90")
    assert priced.lines[1] == {
        "id": "bump-labels",
        "name": "Slate Labels",
        "price": Decimal("4.90"),
        "quantity": 1,
        "extra": {"bump": True},
    }


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ([("SOIL", 1), ("bump-labels", 2)], "products[1].quantity"),
        ([("bump-labels", 1), ("SOIL", 1), ("bump-labels", 1)], "products[2].id"),
        ([("bump-labels", 1)], "products[0].id"),
        ([("bump-labels", 1), ("bump-mister", 1)], "products[0].id"),
        ([("SOIL", 1), ("upsell-1-serum", 1)], "products[1].id"),
    ],
)
def test_a_bump_is_not_sold_otherwise(wanted: list[tuple[str, int]], field: str) -> None:
    with pytest.raises(PricingError) as raised:
        price([{"id": name, "quantity": number} for name, number in wanted])

    assert raised.value.field == field


@given(st.lists(lines, min_size=1, max_size=50))
def test_a_total_is_the_exact_sum_or_the_order_is_too_large(
    wanted: list[dict[str, object]],
) -> None:
    total = sum(
        (PRODUCTS[str(line["id"])].price * int(str(line["quantity"])) for line in wanted),
        Decimal(0),
    )

    if total > MAX_ORDER_AMOUNT:
        with pytest.raises(PricingError) as raised:
            price(wanted)
        assert raised.value.field == "products"
        return
    priced = price(wanted)
    assert priced.amount == total
    assert priced.amount.as_tuple().exponent == -2
    assert priced.currency == "USD"
    assert [line["quantity"] for line in priced.lines] == [line["quantity"] for line in wanted]


def test_a_hundred_pots_cost_ten_dollars_exactly() -> None:
    assert price([{"id": "POT", "quantity": 100}]).amount == Decimal("10.00")


def test_a_price_from_a_client_is_not_even_read() -> None:
    priced = price([{"id": "LAMP", "quantity": 1, "price": Decimal(1), "name": "Cheap"}])

    assert priced.amount == Decimal("89.00")
    assert priced.lines[0]["name"] == "Grow Lamp"


def test_a_product_that_is_not_sold_is_named_by_its_place() -> None:
    with pytest.raises(PricingError, match="'NOPE'") as raised:
        price([{"id": "POT", "quantity": 1}, {"id": "NOPE", "quantity": 1}])

    assert raised.value.field == "products[1].id"

"""What the shop sells and offers, at which prices. The one place: clients never send a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.exceptions import PricingError
from sessions_unified.money import quantize
from sessions_unified.pricing import Priced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CURRENCY: Final = "USD"
MAX_ORDER_AMOUNT: Final = Decimal(10_000)


@dataclass(frozen=True, kw_only=True)
class CatalogProduct:
    """A product.

    Attributes:
        price: of one, in `CURRENCY`.

    """

    id: str
    name: str
    price: Decimal
    summary: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An upsell: one click after the order, at its step.

    Attributes:
        step: the flow's step at which it is made.
        price: of one, in `CURRENCY`.

    """

    id: str
    step: str
    name: str
    price: Decimal
    summary: str


PRODUCTS: Final = {
    product.id: product
    for product in (
        CatalogProduct(
            id="SEED-1",
            name="Starter Seed Kit",
            price=Decimal("19.99"),
            summary="Twelve easy herbs and greens, with labels and a sowing calendar.",
        ),
        CatalogProduct(
            id="SEED-3",
            name="Triple Seed Kit",
            price=Decimal("49.97"),
            summary="Three seasons of seeds: spring greens, summer herbs, winter shoots.",
        ),
        CatalogProduct(
            id="SOIL",
            name="Living Soil 5L",
            price=Decimal("12.50"),
            summary="Peat-free potting soil with compost and live mycorrhiza.",
        ),
        CatalogProduct(
            id="LAMP",
            name="Grow Lamp",
            price=Decimal("89.00"),
            summary="Full-spectrum LED with a timer, for a shelf without a window.",
        ),
        CatalogProduct(
            id="POT",
            name="Clay Pot",
            price=Decimal("0.10"),
            summary="A small terracotta pot. One per seedling.",
        ),
    )
}

OFFERS: Final = {
    offer.id: offer
    for offer in (
        Offer(
            id="upsell-1-serum",
            step="upsell-1",
            name="Root Serum",
            price=Decimal("29.99"),
            summary="A seaweed starter that helps seedlings take root.",
        ),
        Offer(
            id="upsell-1-bundle",
            step="upsell-1",
            name="Seedling Bundle",
            price=Decimal("29.99"),
            summary="Forty coir pellets, two trays and a mister.",
        ),
        Offer(
            id="upsell-2-subscription",
            step="upsell-2",
            name="Seed Club, first season",
            price=Decimal("29.99"),
            summary="Next season's seeds before everyone else. One payment, no renewal.",
        ),
        Offer(
            id="upsell-2-lamp",
            step="upsell-2",
            name="Clip-on Grow Lamp",
            price=Decimal("29.99"),
            summary="A small lamp for one pot, with a clip.",
        ),
    )
}


def offers_at(step: str) -> tuple[Offer, ...]:
    """Return the offers made at a step."""
    return tuple(offer for offer in OFFERS.values() if offer.step == step)


def price(products: Sequence[Mapping[str, Any]]) -> Priced:
    """Price ``[{id, quantity}, …]`` for the core (the setting ``PRICER``).

    Raises:
        PricingError: a product is not sold here, or the order is larger than we take.

    """
    lines = []
    for position, wanted in enumerate(products):
        product = PRODUCTS.get(wanted["id"])
        if product is None:
            message = f"There is no product {wanted['id']!r}."
            raise PricingError(message, field=f"products[{position}].id")
        lines.append(
            {
                "id": product.id,
                "name": product.name,
                "price": product.price,
                "quantity": wanted["quantity"],
            }
        )
    amount = sum((line["price"] * line["quantity"] for line in lines), Decimal(0))
    if amount > MAX_ORDER_AMOUNT:
        message = f"An order cannot be larger than {MAX_ORDER_AMOUNT} {CURRENCY}."
        raise PricingError(message, field="products")
    return Priced(lines, quantize(amount, CURRENCY), CURRENCY)

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
BUMP_STEP: Final = "checkout"


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
    """What is offered beside the products: an upsell after the order, or a bump in it.

    Attributes:
        step: the flow's step at which it is made; at the checkout it is an order bump, which
            becomes a line of the order and is paid with it.
        price: of one, in `CURRENCY`.
        follows: the offer of the same step after whose refusal this one opens (a downsell); None:
            it is open from the beginning.

    """

    id: str
    step: str
    name: str
    price: Decimal
    summary: str
    follows: str | None = None

    @property
    def is_bump(self) -> bool:
        """Whether it is taken with the order, not after it."""
        return self.step == BUMP_STEP


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
            id="bump-labels",
            step=BUMP_STEP,
            name="Slate Labels",
            price=Decimal("4.90"),
            summary="Ten slate labels and a chalk pencil, so that basil is not taken for mint.",
        ),
        Offer(
            id="bump-mister",
            step=BUMP_STEP,
            name="Glass Mister",
            price=Decimal("7.50"),
            summary="A fine mist for seedlings that a watering can would flatten.",
        ),
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
            id="upsell-1-serum-small",
            step="upsell-1",
            name="Root Serum, small bottle",
            price=Decimal("12.99"),
            summary="The same seaweed starter, enough for one windowsill of seedlings.",
            follows="upsell-1-serum",
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
    """Return the upsells of a step, open or not; none at the checkout, whose offers are bumps."""
    return tuple(offer for offer in OFFERS.values() if offer.step == step and not offer.is_bump)


def offer_name(offer_id: str) -> str:
    """Return an offer's name; the id of one that is made no longer."""
    offer = OFFERS.get(offer_id)
    return offer_id if offer is None else offer.name


def bumps() -> dict[str, Offer]:
    """Return the order bumps by id."""
    return {offer.id: offer for offer in OFFERS.values() if offer.is_bump}


def bump_line(bump: Offer) -> dict[str, Any]:
    """Return the line that a bump is in an order; it stays marked when it is no longer offered."""
    line = {"id": bump.id, "name": bump.name, "price": bump.price, "quantity": 1}
    return line | {"extra": {"bump": True}}


def check_amount(amount: Decimal, *, field: str) -> None:
    """Refuse an order that is larger than we take.

    Raises:
        PricingError: naming the field that made it so.

    """
    if amount > MAX_ORDER_AMOUNT:
        message = f"An order cannot be larger than {MAX_ORDER_AMOUNT} {CURRENCY}."
        raise PricingError(message, field=field)


def price(products: Sequence[Mapping[str, Any]]) -> Priced:
    """Price ``[{id, quantity}, …]`` for the core (the setting ``PRICER``).

    An order bump is taken once, and only beside a product.

    Raises:
        PricingError: a line is not sold here or not so, or the order is larger than we take.

    """
    lines = [_line(wanted, position) for position, wanted in enumerate(products)]
    _check_bumps([line["id"] for line in lines])
    amount = sum((line["price"] * line["quantity"] for line in lines), Decimal(0))
    check_amount(amount, field="products")
    return Priced(lines, quantize(amount, CURRENCY), CURRENCY)


def _line(wanted: Mapping[str, Any], position: int) -> dict[str, Any]:
    bump = bumps().get(wanted["id"])
    if bump is not None:
        if wanted["quantity"] != 1:
            message = f"{bump.name} is added to an order once."
            raise PricingError(message, field=f"products[{position}].quantity")
        return bump_line(bump)
    product = PRODUCTS.get(wanted["id"])
    if product is None:
        message = f"There is no product {wanted['id']!r}."
        raise PricingError(message, field=f"products[{position}].id")
    return {
        "id": product.id,
        "name": product.name,
        "price": product.price,
        "quantity": wanted["quantity"],
    }


def _check_bumps(ids: list[str]) -> None:
    taken = [(position, item) for position, item in enumerate(ids) if item in bumps()]
    for position, item in taken:
        if item in ids[:position]:
            message = f"{OFFERS[item].name} is added to an order once."
            raise PricingError(message, field=f"products[{position}].id")
    if taken and len(taken) == len(ids):
        message = "An order bump is sold beside a product, not alone."
        raise PricingError(message, field=f"products[{taken[0][0]}].id")

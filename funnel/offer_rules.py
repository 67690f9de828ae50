"""What the table of offers must keep; a mistake in it is found before a shopper meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from funnel.catalog import BUMP_STEP, CURRENCY, PRODUCTS, Offer
from sessions_unified.flow import get_flow
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_OFFER_ID: Final = 64  # it is part of a charge attempt's purpose


def offer_mistakes(offers: Mapping[str, Offer]) -> list[str]:
    """Return what is wrong with the offers, a sentence each; empty if nothing is."""
    return [mistake for offer in offers.values() for mistake in _mistakes(offer, offers)]


def _mistakes(offer: Offer, offers: Mapping[str, Offer]) -> Iterator[str]:
    if not 0 < len(offer.id) <= MAX_OFFER_ID:
        yield f"The id {offer.id!r} is not of 1 to {MAX_OFFER_ID} characters."
    if offer.id in PRODUCTS:
        yield f"{offer.id} is a product's id too."
    if offer.step not in _steps():
        yield f"{offer.id} is made at {offer.step!r}, where the flow makes no offers."
    if offer.price <= 0 or quantize(offer.price, CURRENCY) != offer.price:
        yield f"The price of {offer.id}, {offer.price}, is no amount of {CURRENCY} above 0."
    if offer.follows is not None:
        yield from _follow_mistakes(offer, offers)


def _steps() -> tuple[str, ...]:
    """Return the checkout and the steps between the payment and the end."""
    steps = get_flow().steps
    return (BUMP_STEP, *steps[2:-1])


def _follow_mistakes(offer: Offer, offers: Mapping[str, Offer]) -> Iterator[str]:
    before = offers.get(offer.follows or "")
    if offer.is_bump:
        yield f"{offer.id} is an order bump, which can follow nothing."
    elif before is None or before.step != offer.step:
        yield f"{offer.id} follows {offer.follows}, which is no offer of {offer.step}."
    elif _is_in_circle(offer, offers):
        yield f"{offer.id} follows itself, so it never opens."


def _is_in_circle(offer: Offer, offers: Mapping[str, Offer]) -> bool:
    current: Offer | None = offer
    for _ in offers:
        current = offers.get(current.follows or "") if current is not None else None
        if current is offer:
            return True
    return False

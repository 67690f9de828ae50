"""The order bumps as the checkout shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from funnel.bumps import bumps_for, bumps_in
from funnel.storefront.orders import money

if TYPE_CHECKING:
    from funnel.catalog import Offer
    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class BumpCard:
    """One bump; ``is_taken`` tells whether it is in the order."""

    offer: Offer
    price: str
    is_taken: bool


def bump_cards(session: SessionSnapshot) -> list[BumpCard]:
    """Return the bumps of this order, at the price that its line has or would get."""
    taken = bumps_in(session)
    given = {line.id: line.price for line in session.products if line.price is not None}
    return [
        BumpCard(
            offer=bump,
            price=money(given.get(bump.id, bump.price), session.currency),
            is_taken=bump.id in taken,
        )
        for bump in bumps_for(session)
    ]

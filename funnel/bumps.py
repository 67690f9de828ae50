"""Order bumps: lines that the shopper adds to the order, or takes out again, before paying."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from funnel.catalog import CURRENCY, Offer, bump_line, bumps, check_amount
from sessions_unified.exceptions import PricingError
from sessions_unified.flow import Position, get_flow
from sessions_unified.snapshot import Product, decode_hook

if TYPE_CHECKING:
    from collections.abc import Collection

    from sessions_unified.snapshot import SessionSnapshot


def is_bump(product: Product) -> bool:
    """Tell whether a line of an order is a bump, of today's or of one no longer offered."""
    return product.id in bumps() or bool(product.extra.get("bump"))


def bumps_for(session: SessionSnapshot) -> tuple[Offer, ...]:
    """Return the bumps that this order may have, whether it has them or not.

    None once payment has begun, without a product, or in another currency (imported).
    """
    is_at_checkout = Position(session.status, session.current_step) == get_flow().start
    has_product = any(not is_bump(product) for product in session.products)
    has_price = session.amount is not None and session.currency == CURRENCY
    if not (is_at_checkout and has_product and has_price):
        return ()
    return tuple(bumps().values())


def open_bumps(session: SessionSnapshot) -> tuple[Offer, ...]:
    """Return the bumps that may be added to the order and are not in it yet."""
    taken = bumps_in(session)
    return tuple(bump for bump in bumps_for(session) if bump.id not in taken)


def bumps_in(session: SessionSnapshot) -> tuple[str, ...]:
    """Return the ids of the order's bumps."""
    return tuple(product.id for product in session.products if is_bump(product))


def with_bumps(session: SessionSnapshot, wanted: Collection[str]) -> dict[str, Any]:
    """Return the products and the amount of the order with exactly these bumps.

    All other lines keep the price they were given, and so does a bump that stays; the amount
    moves by what is added and taken out, so that what an imported order has beside its lines stays.

    Raises:
        PricingError: one of them cannot be added, or the order gets larger than we take.

    """
    ids = tuple(dict.fromkeys(wanted))
    taken = bumps_in(session)
    added = tuple(_addable(session, item, ids) for item in ids if item not in taken)
    kept = tuple(line for line in session.products if not is_bump(line) or line.id in ids)
    gone = tuple(line for line in session.products if is_bump(line) and line.id not in ids)
    amount = session.amount
    if amount is not None:
        amount += _worth(added) - _worth(gone)
    if amount is not None and added:
        check_amount(amount, field="bumps")
    return {"products": (*kept, *added), "amount": amount}


def _addable(session: SessionSnapshot, item: str, wanted: tuple[str, ...]) -> Product:
    for bump in bumps_for(session):
        if bump.id == item:
            return msgspec.convert(bump_line(bump), Product, dec_hook=decode_hook)
    message = f"There is no order bump {item!r} for this order."
    raise PricingError(message, field=f"bumps[{wanted.index(item)}]")


def _worth(lines: tuple[Product, ...]) -> Decimal:
    return sum(((line.price or Decimal(0)) * line.quantity for line in lines), Decimal(0))

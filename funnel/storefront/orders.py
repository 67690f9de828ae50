"""An order as pages show it: lines, total, and what of it can be ordered again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from funnel.catalog import OFFERS, PRODUCTS, bumps
from funnel.flow import open_offers
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessions_unified.snapshot import Product, SessionSnapshot

MAX_QUANTITY: Final = 100
_FINGERPRINT_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line.

    Attributes:
        price: of one, as text; None where an imported line has none.
        total: of the line, likewise.

    """

    name: str
    quantity: int
    price: str | None
    total: str | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is ordered.

    Attributes:
        adjustment: what separates the lines from the total, as text with its sign; None if
            nothing does. Orders of another shop system may carry shipping or a discount.
        total: None for an order without an amount.
        items: how many things in all.

    """

    lines: tuple[Line, ...]
    adjustment: str | None
    total: str | None
    items: int


def money(amount: Decimal, currency: str) -> str:
    """Return an amount as people read it: ``1,234.50 USD``."""
    return f"{quantize(amount, currency):,f} {currency}"


def order_of(session: SessionSnapshot) -> Order:
    """Return what the session orders, at the prices it was given."""
    currency, amount = session.currency, session.amount
    return Order(
        lines=tuple(_line(product, currency) for product in session.products),
        adjustment=_adjustment(session),
        total=None if amount is None else money(amount, currency),
        items=sum(max(0, product.quantity) for product in session.products),
    )


def _line(product: Product, currency: str) -> Line:
    price = product.price
    known = PRODUCTS.get(product.id) or OFFERS.get(product.id)
    return Line(
        name=product.name or (known.name if known is not None else product.id),
        quantity=product.quantity,
        price=None if price is None else money(price, currency),
        total=None if price is None else money(price * product.quantity, currency),
    )


def _adjustment(session: SessionSnapshot) -> str | None:
    totals = [p.price * p.quantity for p in session.products if p.price is not None]
    if session.amount is None or len(totals) < len(session.products):
        return None
    gap = session.amount - quantize(sum(totals, Decimal(0)), session.currency)
    sign = "+" if gap > 0 else "-"
    return f"{sign}{money(abs(gap), session.currency)}" if gap else None


def fingerprint(session: SessionSnapshot) -> str:
    """Return what tells this order, at this amount and with these offers, from another.

    A form carries it, so that nobody pays for an order that another tab has changed meanwhile, or
    for an extra whose price has changed since it was shown, and nobody refuses one unseen.
    """
    lines = [(product.id, product.quantity) for product in session.products]
    prices = [(offer.id, offer.price) for offer in open_offers(session)]
    text = repr((session.id, lines, session.amount, session.currency, prices))
    return hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()


def quantities(products: Iterable[Product]) -> dict[str, int]:
    """Return product id → quantity of what is (still) sold, within the limits of an order."""
    wanted: dict[str, int] = {}
    limits = dict.fromkeys(PRODUCTS, MAX_QUANTITY) | dict.fromkeys(bumps(), 1)
    for product in products:
        if product.id in limits and product.quantity > 0:
            total = wanted.get(product.id, 0) + product.quantity
            wanted[product.id] = min(total, limits[product.id])
    return wanted


def no_longer_sold(products: Iterable[Product]) -> list[str]:
    """Return the names of what cannot be ordered again."""
    sold = {*PRODUCTS, *bumps()}
    names = [product.name or product.id for product in products if product.id not in sold]
    return list(dict.fromkeys(names))

"""What is bought: the products, and the sum that belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sessions_unified.snapshot import EMPTY

if TYPE_CHECKING:
    from decimal import Decimal

    from legacy_adapters.merging.candidates import Candidate
    from legacy_adapters.merging.copies import Copies
    from sessions_unified.snapshot import Product


def products(copies: Copies) -> tuple[Product, ...]:
    """Return the most trusted products; a browser's, without prices, where no other has any."""
    holder = _holder(copies)
    if holder is not None:
        return holder.session.products
    found = next((each.session.products for each in copies.browsers if each.session.products), ())
    return tuple(msgspec.structs.replace(product, price=None, extra=EMPTY) for product in found)


def amount(copies: Copies) -> Decimal | None:
    """Return the sum of whose products they are; without any, the most trusted sum."""
    holder = _priced(copies)
    return holder.session.amount if holder is not None else None


def currency(copies: Copies) -> str:
    """Return the currency of that sum."""
    return (_priced(copies) or copies.believed[0]).session.currency


def claims_products(claimed: tuple[Product, ...], known: tuple[Product, ...]) -> bool:
    """Tell whether a browser has other products, or other prices for them."""
    if not claimed:
        return False
    if [_line(each) for each in claimed] != [_line(each) for each in known]:
        return True
    prices = [(there.price, here.price) for there, here in zip(claimed, known, strict=True)]
    return any(None not in pair and pair[0] != pair[1] for pair in prices)


def claims_amount(claimed: Decimal | None, known: Decimal | None) -> bool:
    """Tell whether a browser names another sum."""
    return claimed is not None and claimed != known


def _line(product: Product) -> tuple[str, int]:
    return product.id, product.quantity


def _holder(copies: Copies) -> Candidate | None:
    return next((each for each in copies.trusted if each.session.products), None)


def _priced(copies: Copies) -> Candidate | None:
    """Return the copy whose sum counts: never another's than that of the products."""
    holder = _holder(copies)
    if holder is not None:
        return holder
    with_amount = (each for each in copies.trusted if each.session.amount is not None)
    return next(with_amount, copies.trusted[0] if copies.trusted else None)

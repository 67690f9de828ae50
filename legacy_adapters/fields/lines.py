"""The order's lines as shops stored them: prices as numbers or text, and whatever else."""

from __future__ import annotations

from typing import Any, Final

from legacy_adapters.fields.values import is_same_number, money, storable, storable_text, unwrapped
from sessions_unified.snapshot import EMPTY, Product, freeze

_KNOWN: Final = frozenset({"id", "name", "price", "quantity"})
# A currency with enough decimals to tell whether a number is whole.
_FINEST: Final = "CLF"
_MAX_QUANTITY: Final = 2**31 - 1


def read_products(value: Any, currency: str) -> tuple[tuple[Product, ...], Any]:
    """Return the products, and what of ``value`` is none (None: nothing is left)."""
    value = unwrapped(value)
    if value is None:
        return (), None
    if not isinstance(value, list | tuple):
        return (), storable(value)
    products = [_read_product(unwrapped(line), currency) for line in value]
    odd = [
        {"position": position, "line": storable(line)}
        for position, (line, product) in enumerate(zip(value, products, strict=True))
        if product is None
    ]
    return tuple(product for product in products if product is not None), odd or None


def _read_product(line: Any, currency: str) -> Product | None:
    """Return one line; None if it names no product. What it can't say otherwise is in ``extra``."""
    if not isinstance(line, dict):
        return None
    product_id = _product_id(line.get("id"))
    if product_id is None:
        return None
    extra = {key: item for key, item in line.items() if key not in _KNOWN}
    name, price, quantity = line.get("name"), line.get("price"), line.get("quantity")
    if name is not None and not isinstance(name, str):
        extra["name"] = name
    amount = money(price, currency)
    if not is_same_number(price, amount):
        extra["price"] = price
    count = _quantity(quantity)
    if count is None and quantity is not None:
        extra["quantity"] = quantity
    return Product(
        id=product_id,
        name=storable_text(name) if isinstance(name, str) else "",
        price=amount,
        quantity=1 if count is None else count,
        extra=freeze(storable(extra)) if extra else EMPTY,
    )


def _product_id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return storable_text(value).strip() or None


def _quantity(value: Any) -> int | None:
    """Return a whole number, or the text of one; None for anything else."""
    if type(value) is int:
        return value if abs(value) <= _MAX_QUANTITY else None
    number = money(value, _FINEST)
    if number is None or abs(number) > _MAX_QUANTITY or not is_same_number(value, number):
        return None
    return int(number) if number == int(number) else None

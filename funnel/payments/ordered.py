"""The order that an attempt was made for, out of its lines: what is paid is what is handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from funnel.catalog import bumps
from funnel.payments.lines import PRODUCT, from_json
from sessions_unified.card_data import find_card_data
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from funnel.payments.lines import Line
    from funnel.payments.models import ChargeAttempt
    from sessions_unified.snapshot import SessionSnapshot


def order_again(session: SessionSnapshot, attempt: ChargeAttempt) -> dict[str, Any]:
    """Return the changes that make the session's order the one that the attempt charged.

    None of them, as nearly always: it is that one. A charge that was believed declined leaves the
    shopper at the checkout, free to order something else, before its success is heard of.
    """
    lines = [line for line in from_json(attempt.lines) if line.kind == PRODUCT]
    charged = [(line.item, line.quantity) for line in lines]
    present = [(product.id, product.quantity) for product in session.products]
    if not lines or (charged == present and session.amount == attempt.amount):
        return {}
    products = [_product(line, attempt.currency) for line in lines]
    if find_card_data(products) is not None:
        return {}  # imported, and nothing that is on record may stop a success from being settled
    return {"products": products, "amount": attempt.money, "currency": attempt.currency}


def _product(line: Line, currency: str) -> dict[str, Any]:
    price = quantize(line.amount / line.quantity, currency) if line.quantity else line.amount
    product = {"id": line.item, "name": line.name, "price": price, "quantity": line.quantity}
    return product | ({"extra": {"bump": True}} if line.item in bumps() else {})

"""What an amount is for: lines of products, bumps and offers, which add up to it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRODUCT: Final = "product"
OFFER: Final = "offer"
ADJUSTMENT: Final = "adjustment"
_LENGTH: Final = 255


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a charge.

    Attributes:
        kind: ``product`` (bumps too), ``offer``, or ``adjustment``: what an order's amount has
            beside its products (shipping of an imported order, a discount).
        item: the product's or the offer's id; empty for an adjustment.
        quantity: of the item.
        amount: of the whole line, in the charge's currency; an adjustment may be below 0.

    """

    kind: str
    item: str
    name: str
    quantity: int
    amount: Decimal

    def to_json(self) -> dict[str, Any]:
        """Return the line as attempts and refunds keep it; the amount as text."""
        return {
            "kind": self.kind,
            "item": self.item,
            "name": self.name,
            "quantity": self.quantity,
            "amount": str(self.amount),
        }


def from_json(kept: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """Return the lines that an attempt or a refund keeps."""
    return tuple(
        Line(
            kind=line["kind"],
            item=line["item"],
            name=line["name"],
            quantity=line["quantity"],
            amount=Decimal(line["amount"]),
        )
        for line in kept
    )


def total(lines: Iterable[Line], currency: str) -> Decimal:
    """Return what the lines add up to."""
    return quantize(sum((line.amount for line in lines), Decimal(0)), currency)


def described(lines: Iterable[Line]) -> str:
    """Return the lines in a few words, for a gateway's own records; 255 characters at most."""
    text = ", ".join(f"{line.quantity} x {line.name or line.item}" for line in lines)
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"

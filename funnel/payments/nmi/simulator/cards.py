"""Test cards: the only ones that the simulator takes, and what becomes of their sales."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

MATCHING_CVV: Final = "999"
_FIRST_DIGITS: Final = 6
_LAST_DIGITS: Final = 4


@dataclass(frozen=True, kw_only=True)
class TestCard:
    """A card number that means something.

    Attributes:
        number: digits only.
        brand: as NMI writes it.
        first: the mode of a sale by payment token; None: the simulator's mode at the time.
        later: likewise of sales by vault id.

    """

    __test__ = False  # not a pytest class

    number: str
    brand: str = "visa"
    first: str | None = None
    later: str | None = None

    @property
    def masked(self) -> str:
        """The number as it is shown and kept."""
        hidden = len(self.number) - _FIRST_DIGITS - _LAST_DIGITS
        return f"{self.number[:_FIRST_DIGITS]}{'*' * hidden}{self.number[-_LAST_DIGITS:]}"

    @property
    def hash(self) -> str:
        """What is the same wherever this card is used: Collect.js' ``card.hash``."""
        return hmac.digest(b"nmi simulator", self.number.encode(), hashlib.sha256).hex()[:32]

    @property
    def says(self) -> str:
        """What becomes of its sales, for people."""
        if self.first is None and self.later is None:
            return "approve, unless a mode says otherwise"
        if self.first == self.later:
            return self.first or ""
        return f"{self.first or 'approve'}, then {self.later or 'approve'}"


def _magic(number: str, first: str, later: str = "approve") -> TestCard:
    return TestCard(number=number, first=first, later=later)


_ALL: Final = (
    TestCard(number="4111111111111111"),
    TestCard(number="5431111111111111", brand="mastercard"),
    TestCard(number="6011000991300009", brand="discover"),
    TestCard(number="341111111111111", brand="amex"),
    _magic("4000000000000002", "decline"),
    _magic("4000000000000010", "reject"),
    _magic("4000000000000028", "duplicate"),
    _magic("4000000000000036", "charge-then-421"),
    _magic("4000000000000044", "charge-then-drop-connection"),
    _magic("4000000000000051", "charge-then-hang"),
    _magic("4000000000000069", "drop-connection"),
    _magic("4000000000000077", "hang"),
    _magic("4000000000000085", "hidden"),
    _magic("4000000000000093", "tampered-amount"),
    _magic("4000000000000101", "tampered-currency"),
    _magic("4000000000000119", "rate-limit"),
    _magic("4000000000000127", "http-429"),
    _magic("4000000000000135", "used-token"),
    _magic("4000000000000143", "webhook-twice"),
    _magic("4000000000000150", "webhook-reordered"),
    _magic("4000000000000168", "malformed-html"),
    _magic("4000000000000176", "charge-then-http-500"),
    _magic("4000000000000184", "approve", "decline"),
    _magic("4000000000000192", "approve", "duplicate"),
    _magic("4000000000000200", "approve", "charge-then-421"),
    _magic("4000000000000218", "approve", "charge-then-drop-connection"),
    _magic("4000000000000226", "approve", "charge-then-hang"),
    _magic("4000000000000234", "approve", "hang"),
    _magic("4000000000000242", "approve", "hidden"),
    _magic("4000000000000259", "approve", "tampered-amount"),
)
CARDS: Final = {card.number: card for card in _ALL}
_BY_MASK: Final = {card.masked: card for card in _ALL}


def find_card(number: str) -> TestCard | None:
    """Return the test card of a number as people type it; None: no test card."""
    return CARDS.get(number.replace(" ", "").replace("-", ""))


def unmask(masked: str) -> TestCard:
    """Return the card that the books mean."""
    return _BY_MASK[masked]

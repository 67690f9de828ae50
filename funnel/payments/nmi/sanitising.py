"""What of NMI's answers may be stored and shown: short plain texts, without card data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT: Final = 200
_SHORTEST_SECRET: Final = 4  # shorter ones would black out ordinary words, and hide nothing

# As long as a card number, however it is grouped, valid or not. A REFID has ten digits.
_LONG_NUMBER: Final = re.compile(r"\d(?:[ .\-_/]{0,2}\d){11,}")
# PostgreSQL's jsonb takes no NUL and no half of a surrogate pair; people need no other control.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]+")


# What orders and transactions are called. Masked like other texts, one in twenty of our own order
# ids would be: their hexadecimal has runs of twelve digits.
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def identifier(text: str) -> str:
    """Return what an order or a transaction is called, exactly; cleaned if it is no such name."""
    return text if _IDENTIFIER.fullmatch(text) else clean(text)


def clean(text: str, hidden: Iterable[str] = ()) -> str:
    """Return what may be kept of a text; ``hidden`` are secrets that it must not repeat."""
    text = _UNPRINTABLE.sub(" ", text)
    for secret in hidden:
        if len(secret) >= _SHORTEST_SECRET:
            text = re.sub(re.escape(secret), "[hidden]", text, flags=re.IGNORECASE)
    return _LONG_NUMBER.sub("[number]", text).strip()[:MAX_TEXT]

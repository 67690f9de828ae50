"""Payment tokens, as Collect.js makes them: each stands for a card, once."""

from __future__ import annotations

import secrets
import string
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator.cards import TestCard

# No digits: nothing in a token is ever taken for a card's number.
_LETTERS: Final = string.ascii_letters


@dataclass(frozen=True, kw_only=True, repr=False)
class Tokenized:
    """What was typed into the card fields."""

    card: TestCard
    cvv: str = ""
    expiry: str = ""


class Tokens:
    """The tokens that were made; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[str, Tokenized] = {}
        self._used: set[str] = set()

    def mint(self, tokenized: Tokenized) -> str:
        """Return a new token."""
        parts = ("".join(secrets.choice(_LETTERS) for _ in range(size)) for size in (8, 6, 6, 12))
        token = "-".join(parts)
        with self._lock:
            self._fresh[token] = tokenized
        return token

    def look_at(self, token: str) -> Tokenized | None:
        """Return what an unused token stands for, and leave it unused; None: none such."""
        with self._lock:
            return self._fresh.get(token)

    def use(self, token: str) -> Tokenized | None:
        """Return what it stands for, this once; None: unknown or used."""
        with self._lock:
            found = self._fresh.pop(token, None)
            if found is not None:
                self._used.add(token)
            return found

    def was_used(self, token: str) -> bool:
        """Tell whether it has been used before."""
        with self._lock:
            return token in self._used

    def reset(self) -> None:
        """Forget them all."""
        with self._lock:
            self._fresh.clear()
            self._used.clear()

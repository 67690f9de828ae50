"""Session ids: the legacy shape ``ws_<base36 ms>_<base36 random>``, with 128 random bits.

Old and new ids pass the same doors. An id opens nothing by itself (promise R26).
"""

from __future__ import annotations

import re
import secrets
from typing import Final

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_BITS: Final = 128
_RANDOM_LENGTH: Final = 25  # ceil(128 / log2(36)): fixed, so that a short draw is padded

MAX_ID_LENGTH: Final = 64
SESSION_ID: Final = re.compile(r"ws_[0-9a-z]{1,16}_[0-9a-z]{1,40}")


def _base36(number: int) -> str:
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)) or "0"


def mint_session_id(epoch_ms: int) -> str:
    """Return a new id for a session born at ``epoch_ms`` (milliseconds since 1970, UTC)."""
    random = _base36(secrets.randbits(_RANDOM_BITS)).rjust(_RANDOM_LENGTH, "0")
    return f"ws_{_base36(epoch_ms)}_{random}"


def is_session_id(value: str) -> bool:
    """Tell whether ``value`` has the shape of a session id, old or new."""
    return SESSION_ID.fullmatch(value) is not None


def is_minted_here(value: str) -> bool:
    """Tell whether an id has the random part of ours; the old shop's has nine characters at most.

    Anybody can write such an id: it proves nothing of who did.
    """
    return is_session_id(value) and len(value.rpartition("_")[2]) == _RANDOM_LENGTH

"""``Webhook-Signature: t=…,s=…``: HMAC-SHA256 over ``t``, a dot and the raw body.

How old ``t`` is does not matter: a late event is as true as an early one, and each is acted on
once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = "Webhook-Signature"
_HEADER_LENGTH: Final = 1024
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What the header says.

    Attributes:
        moment: its ``t``, as sent.
        digests: its ``s`` values in lower case; a sender that changes keys may give several.

    """

    moment: str
    digests: tuple[str, ...]


def parse(header: str) -> Signature | None:
    """Return what the header says; None if it is no signature."""
    if len(header) > _HEADER_LENGTH:
        return None
    moments, digests = [], []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            moments.append(value)
        elif name == "s" and _DIGEST.fullmatch(value):
            digests.append(value.lower())
    if len(moments) != 1 or not moments[0] or not digests:
        return None
    return Signature(moment=moments[0], digests=tuple(digests))


def is_signed(header: str, body: bytes, keys: Sequence[str]) -> bool:
    """Tell whether one of the keys signed the raw body."""
    found = parse(header)
    if found is None:
        return False
    # The server gives a header's bytes as Latin-1.
    message = found.moment.encode("latin-1", "replace") + b"." + body
    expected = [hmac.digest(key.encode(), message, hashlib.sha256).hex() for key in keys if key]
    matches = [hmac.compare_digest(own, given) for own in expected for given in found.digests]
    return any(matches)

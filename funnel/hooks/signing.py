"""Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

PREFIX: Final = "whsec_"
LEAST_BYTES: Final = 24
MOST_BYTES: Final = 64


def parse_secrets(given: str | Iterable[str]) -> tuple[bytes, ...]:
    """Return the keys of a target's ``SECRET``: one, or several separated by commas or in a list.

    Raises:
        ValueError: there is none, or one is not ``whsec_`` and base64 of 24 to 64 bytes. The
            message does not quote it.

    """
    texts = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    if not texts:
        raise ValueError("there is no secret")
    return tuple(_parse(text) for text in texts)


def _parse(text: object) -> bytes:
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise ValueError(f"a secret does not begin with {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        # Without its cause, which would quote some of it.
        raise ValueError("a secret is not base64") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"a secret is not of {LEAST_BYTES} to {MOST_BYTES} bytes")
    return key


def headers(
    secrets: Sequence[bytes], *, event_id: str, at: datetime, body: bytes
) -> dict[str, str]:
    """Return the three headers. Each secret signs, so that a receiver may know any of them."""
    timestamp = str(int(at.timestamp()))
    message = b".".join((event_id.encode(), timestamp.encode(), body))
    signatures = (hmac.new(key, message, hashlib.sha256).digest() for key in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }

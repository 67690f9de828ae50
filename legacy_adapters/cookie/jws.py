"""The envelope of the old shop's token: a compact JWS (RFC 7515), HS256 alone, in one spelling.

Size and header are checked before any cryptography; the algorithm is ours, never the token's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from django.core.exceptions import ImproperlyConfigured
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

from legacy_adapters.exceptions import LegacyTokenError
from legacy_adapters.fields.values import integer

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 4096
"""A browser keeps no larger cookie."""

_DOTS: Final = 2
_HEADER: Final = {"alg": "HS256"}
_TYPED_HEADER: Final = _HEADER | {"typ": "JWT"}
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
# Not `jwt.decode`: it warns of each short secret, and old shops have such; a check says so once.
_HS256: Final = HMACAlgorithm(HMACAlgorithm.SHA256)


class Parts(NamedTuple):
    """A token with the one right header, not yet checked: the signature may be anybody's."""

    signed: bytes
    payload: bytes
    signature: bytes

    def is_signed_with(self, secret: str) -> bool:
        """Tell whether the signature is made with this secret."""
        return _HS256.verify(self.signed, key_of(secret), self.signature)


def take_apart(text: str) -> Parts:
    """Return the parts of a token.

    Raises:
        LegacyTokenError: ``size``, ``format``, ``json``, ``header``.

    """
    if len(text) > MAX_BYTES:
        raise LegacyTokenError("size")
    if not text.isascii() or text.count(".") != _DOTS:
        raise LegacyTokenError("format")
    head, payload, signature = text.split(".")
    if read_object(_decoded(head)) not in (_HEADER, _TYPED_HEADER):
        raise LegacyTokenError("header")
    return Parts(f"{head}.{payload}".encode(), _decoded(payload), _decoded(signature))


def read_object(raw: bytes) -> dict[str, Any]:
    """Return a JSON object (RFC 8259) whose names are unique.

    Raises:
        LegacyTokenError: ``json``.

    """
    try:
        found = json.loads(
            raw.decode(),
            parse_float=Decimal,
            parse_int=integer,
            parse_constant=_refuse,
            object_pairs_hook=_unique,
        )
    except (ValueError, ArithmeticError, RecursionError):
        raise LegacyTokenError("json") from None
    if not isinstance(found, dict):
        raise LegacyTokenError("json")
    return found


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """Return a token of these claims.

    Raises:
        TypeError, ValueError, RecursionError: they are no JSON.

    """
    head = json.dumps(_HEADER, separators=(",", ":"))
    text = json.dumps(
        claims, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=float
    )
    # Half of a surrogate pair has no UTF-8; spelled out so, it is JSON's own escape.
    payload = text.encode(errors="backslashreplace")
    signed = f"{_encoded(head.encode())}.{_encoded(payload)}"
    return f"{signed}.{_encoded(_HS256.sign(signed.encode(), key_of(secret)))}"


@lru_cache(maxsize=64)
def key_of(secret: str) -> bytes:
    """Return a secret as a key.

    Raises:
        ImproperlyConfigured: it is no text, empty, or the key of another algorithm.

    """
    if not isinstance(secret, str):
        raise ImproperlyConfigured("A secret of the old shop's cookie is no text.")
    try:
        return _HS256.prepare_key(secret)
    except InvalidKeyError as exc:
        raise ImproperlyConfigured(f"A secret of the old shop's cookie is none: {exc}") from exc


def _decoded(part: str) -> bytes:
    """Return the bytes of a part; there is one way to spell them, so a token has no second form."""
    if _PART.fullmatch(part) is None:
        raise LegacyTokenError("format")
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise LegacyTokenError("format") from None
    if _encoded(raw) != part:
        raise LegacyTokenError("format")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found

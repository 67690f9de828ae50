"""The old shop's token: whom it names, who signed it, and whether it is valid now."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.cookie import epoch, jws
from legacy_adapters.exceptions import CompromisedTokenError, LegacyTokenError
from sessions_unified.ids import is_session_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Hosts' clocks disagree: so far a token may seem too old, or not valid yet.
_LEEWAY: Final = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, repr=False)
class Secrets:
    """What the old shop signs with.

    Attributes:
        trusted: those that open; the first that is not compromised signs.
        compromised: those that are known to be out. One listed here opens nothing, in whichever
            list it also is.

    """

    trusted: tuple[str, ...] = ()
    compromised: tuple[str, ...] = ()

    @property
    def usable(self) -> tuple[str, ...]:
        """The trusted ones that are not compromised."""
        return tuple(secret for secret in self.trusted if secret not in self.compromised)


def read_token(text: str, secrets: Secrets) -> dict[str, Any]:
    """Return the claims of a token that the shop signed, past its end or not.

    Raises:
        LegacyTokenError: for every kind of bad token; `CompromisedTokenError` for one kind.

    """
    parts = jws.take_apart(text)
    for secret in secrets.compromised:
        if parts.is_signed_with(secret):
            raise CompromisedTokenError(fingerprint(secret), _claimed_id(parts.payload))
    if not any(parts.is_signed_with(secret) for secret in secrets.usable):
        raise LegacyTokenError("signature")
    claims = jws.read_object(parts.payload)
    given = claims.get("id")
    # No audience was ever named: a token that names one is another's (RFC 7519, section 4.1.3).
    if not isinstance(given, str) or not is_session_id(given) or "aud" in claims:
        raise LegacyTokenError("claims")
    return claims


def check_times(claims: Mapping[str, Any], *, now: datetime) -> None:
    """Refuse what is past its end, not valid yet, or without an end.

    Raises:
        LegacyTokenError: ``expired``, ``not_yet``, ``endless``; ``claims`` for what is no time.

    """
    if ends_at(claims) + _LEEWAY <= now:
        raise LegacyTokenError("expired")
    for name in ("iat", "nbf"):
        if name in claims and _moment(claims, name) > now + _LEEWAY:
            raise LegacyTokenError("not_yet")


def ends_at(claims: Mapping[str, Any]) -> datetime:
    """Return when a token ends: its ``exp``; where that is missing, ``expiresAt`` counts.

    Raises:
        LegacyTokenError: there is no end, or it is no time.

    """
    if "exp" in claims:
        return _moment(claims, "exp")
    if claims.get("expiresAt") is None:
        raise LegacyTokenError("endless")
    return _moment(claims, "expiresAt")


def fingerprint(secret: str) -> str:
    """Return what a secret is called where it must not be named."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def _claimed_id(payload: bytes) -> str | None:
    """Return whose token a forged one claims to be."""
    try:
        given = jws.read_object(payload).get("id")
    except LegacyTokenError:
        return None
    return given if isinstance(given, str) and is_session_id(given) else None


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return epoch.moment(claims[name])
    except ValueError:
        raise LegacyTokenError("claims") from None

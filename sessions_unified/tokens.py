"""Session tokens: encrypted (JWE, dir + A256GCM), issued by the first key, opened by any.

The same token is the session cookie and the ``Authorization: Bearer`` of API clients.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from sessions_unified import expiry
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import InvalidTokenError
from sessions_unified.ids import is_session_id

if TYPE_CHECKING:
    from sessions_unified.clock import Clock

TYPE: Final = "funnel-session+jwt"
MAX_TOKEN_BYTES: Final = 2048
_DOTS: Final = 4  # compact JWE, RFC 7516 section 3.1
_KEY_BYTES: Final = 32
_LEEWAY: Final = timedelta(seconds=60)
_ALGORITHMS: Final = ["dir", "A256GCM"]
_HEADER_NAMES: Final = frozenset({"alg", "enc", "kid", "typ"})
_REGISTRY: Final = jwe.JWERegistry(algorithms=_ALGORITHMS)


def decode_key(text: str) -> bytes:
    """Return the 32 bytes of a base64url key.

    Raises:
        ValueError: it is not base64url of exactly 32 bytes.

    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        message = "not base64url"
        raise ValueError(message) from exc
    if len(raw) != _KEY_BYTES:
        message = f"{len(raw)} bytes instead of {_KEY_BYTES}"
        raise ValueError(message)
    return raw


@cache
def _keys() -> dict[str, OctKey]:
    """Return kid → key, the issuing one first."""
    keys = get_conf().TOKEN_KEYS
    if not keys:
        message = 'SESSIONS_UNIFIED["TOKEN_KEYS"] is empty: no session token can be issued.'
        raise ImproperlyConfigured(message)
    return {kid: OctKey.import_key(decode_key(text)) for kid, text in keys.items()}


def _forget(*, setting: str, **_: object) -> None:
    if setting == "SESSIONS_UNIFIED":
        _keys.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.tokens")


def token_expiry(created_at: datetime, expires_at: datetime, *, now: datetime) -> datetime:
    """Return when a token issued now ends: the grace after the session's last possible moment.

    A held session outlives every limit, so the grace runs from now at the earliest.
    """
    last = max(expiry.absolute_limit(created_at), expires_at, now)
    return last + timedelta(seconds=get_conf().TOKEN_GRACE_SECONDS)


def issue(session_id: str, *, now: datetime, expires_at: datetime) -> str:
    """Return a token that opens ``session_id`` until ``expires_at``."""
    conf = get_conf()
    kid, key = next(iter(_keys().items()))
    claims = {
        "iss": conf.TOKEN_ISSUER,
        "aud": conf.TOKEN_AUDIENCE,
        "sub": session_id,
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    header = {"alg": "dir", "enc": "A256GCM", "kid": kid, "typ": TYPE}
    return jwe.encrypt_compact(header, json.dumps(claims).encode(), key, registry=_REGISTRY)


def open_token(token: str, *, clock: Clock) -> str:
    """Return the session id that ``token`` opens.

    Size and header are checked before any cryptography; the algorithm is ours, never the token's.

    Raises:
        InvalidTokenError: for every kind of bad token alike.

    """
    key = _keys().get(_check_header(token))
    if key is None:
        raise InvalidTokenError
    try:
        plain = jwe.decrypt_compact(token, key, registry=_REGISTRY).plaintext
        claims = msgspec.json.decode(plain or b"")
    except (JoseError, ValueError, RecursionError, msgspec.DecodeError) as exc:
        raise InvalidTokenError from exc
    return _check_claims(claims, clock.now())


def _check_header(token: str) -> str:
    """Return the ``kid`` of a compact JWE of exactly our kind."""
    if len(token) > MAX_TOKEN_BYTES or token.count(".") != _DOTS:
        raise InvalidTokenError
    return _kid(token.partition(".")[0])


@lru_cache(maxsize=64)
def _kid(head: str) -> str:
    """Return the ``kid`` of a header; all tokens of one key have the very same one."""
    try:
        raw = base64.b64decode(head + "=" * (-len(head) % 4), altchars=b"-_", validate=True)
        header = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise InvalidTokenError from exc
    if not isinstance(header, dict) or set(header) != _HEADER_NAMES:
        raise InvalidTokenError
    expected = {"alg": "dir", "enc": "A256GCM", "typ": TYPE}
    if any(header[name] != value for name, value in expected.items()):
        raise InvalidTokenError
    kid = header["kid"]
    if not isinstance(kid, str):
        raise InvalidTokenError
    return kid


def _check_claims(claims: Any, now: datetime) -> str:
    conf = get_conf()
    if not isinstance(claims, dict):
        raise InvalidTokenError
    if claims.get("iss") != conf.TOKEN_ISSUER or claims.get("aud") != conf.TOKEN_AUDIENCE:
        raise InvalidTokenError
    issued, expires, subject = claims.get("iat"), claims.get("exp"), claims.get("sub")
    if not isinstance(issued, int) or not isinstance(expires, int) or not isinstance(subject, str):
        raise InvalidTokenError
    if now.timestamp() >= expires or issued > (now + _LEEWAY).timestamp():
        raise InvalidTokenError
    if not is_session_id(subject):
        raise InvalidTokenError
    return subject

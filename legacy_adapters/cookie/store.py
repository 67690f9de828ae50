"""Where the old cookie lives: in a request, and in the jar of what goes out with its response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.cookie import jws, sightings, tokens
from legacy_adapters.exceptions import LegacyTokenError
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from http.cookies import Morsel

    from django.http import HttpRequest

# In META, which a request and what wraps it (the API's) share. Error reports show META, but not
# what has "token" in its name.
_JAR: Final = "legacy_adapters.tokens"
# Browsers count them too: "=", and Expires, Max-Age, Path, HttpOnly, Secure, SameSite.
_ATTRIBUTES_BYTES: Final = 128


@dataclass(frozen=True, kw_only=True)
class Cookie:
    """How the browser keeps it.

    Attributes:
        name: its name.
        secure: whether it is sent over HTTPS only.
        secrets: what it is signed with.

    """

    name: str
    secure: bool
    secrets: tokens.Secrets


@dataclass(frozen=True, kw_only=True, repr=False)
class Written:
    """A cookie on its way out: the token, and its claims."""

    token: str
    claims: Mapping[str, Any]


@dataclass(kw_only=True, repr=False)
class Jar:
    """What one request's old cookies come to.

    Attributes:
        read: token → its claims, or why it was refused: each is opened once a request.
        written: cookie → what goes out with the response; None: the browser forgets it.
        earned: our own cookie, which a valid old one has earned.
        is_unanswered: a store did not answer, so that nobody knows what an old one would earn.

    """

    read: dict[str, Mapping[str, Any] | LegacyTokenError] = field(default_factory=dict)
    written: dict[Cookie, Written | None] = field(default_factory=dict)
    earned: Morsel[str] | None = None
    is_unanswered: bool = False


def has_jar(request: HttpRequest) -> bool:
    """Tell whether anything was done with old cookies."""
    return _JAR in request.META


def jar_of(request: HttpRequest) -> Jar:
    """Return the request's jar."""
    jar: Jar = request.META.setdefault(_JAR, Jar())
    return jar


def read(request: HttpRequest, cookie: Cookie, *, source: str) -> Mapping[str, Any] | None:
    """Return the claims of the cookie, signed by the shop, past their end or not; None: no cookie.

    What this request has written already counts. A refusal is counted, once a request; one signed
    with a compromised secret is kept for the audit.

    Raises:
        LegacyTokenError: it is refused.

    """
    jar = jar_of(request)
    if cookie in jar.written:
        written = jar.written[cookie]
        return None if written is None else written.claims
    text = request.COOKIES.get(cookie.name)
    if not text:
        return None
    if text not in jar.read:
        jar.read[text] = _opened(text, cookie.secrets, source)
    found = jar.read[text]
    if isinstance(found, LegacyTokenError):
        raise found
    return found


def _opened(
    text: str, secrets: tokens.Secrets, source: str
) -> Mapping[str, Any] | LegacyTokenError:
    try:
        claims = tokens.read_token(text, secrets)
        tokens.ends_at(claims)
    except LegacyTokenError as exc:
        sightings.note_refused(source, exc)
        return exc
    return claims


def put(
    request: HttpRequest, cookie: Cookie, data: Mapping[str, Any], *, lifetime: timedelta
) -> bool:
    """Have the response set the cookie, signed now; tell whether a browser keeps one so large.

    Raises:
        TypeError, ValueError, RecursionError: the data is no JSON.

    """
    now = get_clock().now()
    issued, ends = int(now.timestamp()), int((now + lifetime).timestamp())
    claims = {**data, "iat": issued, "exp": ends}
    token = jws.sign(claims, cookie.secrets.usable[0])
    if len(cookie.name) + len(token) + _ATTRIBUTES_BYTES > jws.MAX_BYTES:
        return False
    jar_of(request).written[cookie] = Written(token=token, claims=claims)
    return True


def discard(request: HttpRequest, cookie: Cookie) -> None:
    """Have the response delete the cookie."""
    jar_of(request).written[cookie] = None

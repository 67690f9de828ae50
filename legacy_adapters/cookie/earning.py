"""What a valid cookie of the old shop earns: our own, for its own session and no other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.db import Error as DatabaseError
from django.http import HttpResponse

from legacy_adapters import metrics
from legacy_adapters.contact import import_on_contact
from legacy_adapters.cookie import store, tokens
from legacy_adapters.cookie.sightings import note_refused
from legacy_adapters.exceptions import (
    CompromisedTokenError,
    LegacyAdaptersError,
    LegacyTokenError,
)
from legacy_adapters.merging.references import plain_email
from legacy_adapters.migration.unseen import note_seen
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.cookies import issue_cookie
from sessions_unified.exceptions import (
    SealedValueError,
    SessionExpiredError,
    SessionNotFoundError,
    TierUnavailableError,
)
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.cookies import Morsel

    from django.http import HttpRequest

    from legacy_adapters.cookie.adapter import CookieAdapter
    from sessions_unified.snapshot import SessionSnapshot

logger = logging.getLogger(__name__)

_ENDPOINT: Final = "upsell.process"  # the old shop's reader of the cookie
_UNAVAILABLE: Final = (LegacyAdaptersError, TierUnavailableError, SealedValueError, DatabaseError)


def earn_token(adapter: CookieAdapter, request: HttpRequest) -> Morsel[str] | None:
    """Return the cookie of ours that the request's old one earns; None: it earns nothing.

    A cookie that is refused earns nothing, and one that is signed with a compromised secret is
    deleted too. Where a store does not answer, or a session's key is missing, nothing is earned
    now: the request goes on without.
    """
    try:
        claims = _valid_claims(adapter, request)
    except CompromisedTokenError:
        store.discard(request, adapter.cookie)
        return None
    except LegacyTokenError:
        return None
    try:
        session, result = _session_of(claims, request)
    except _UNAVAILABLE as exc:
        logger.warning("An old cookie earned nothing for now: %s", type(exc).__name__)
        store.jar_of(request).is_unanswered = True
        session, result = None, "unavailable"
    metrics.LEGACY_TOKENS.labels(source=adapter.source, result=result).inc()
    if session is None:
        return None
    note_seen(get_tiers(), adapter.source, session.id)
    return _our_cookie(session)


def _valid_claims(adapter: CookieAdapter, request: HttpRequest) -> Mapping[str, Any]:
    claims = store.read(request, adapter.cookie, source=adapter.source) or {}
    try:
        tokens.check_times(claims, now=get_clock().now())
    except LegacyTokenError as exc:
        note_refused(adapter.source, exc)
        raise
    return claims


def _session_of(
    claims: Mapping[str, Any], request: HttpRequest
) -> tuple[SessionSnapshot | None, str]:
    """Return the living session of a valid cookie, or None and why it opens none."""
    try:
        session = _met(claims["id"], request)
    except SessionExpiredError:
        return None, "over"
    except SessionNotFoundError:
        return None, "unknown"
    if session.email and _folded(session.email) != _folded(claims.get("email")):
        return None, "other_email"
    return session, "earned"


def _met(session_id: str, request: HttpRequest) -> SessionSnapshot:
    """Return a session as the endpoint that read the cookie does; import what only stores know."""
    manager = get_manager(_ENDPOINT, request)
    try:
        return manager.get_session(session_id, fresh=True)
    except SessionNotFoundError:
        if import_on_contact(session_id, request) is None:
            raise
    return manager.get_session(session_id, fresh=True)


def _folded(email: Any) -> str:
    """Return an address as two shops' spellings of it compare."""
    return plain_email(email if isinstance(email, str) else None)


def _our_cookie(session: SessionSnapshot) -> Morsel[str]:
    response = HttpResponse()
    issue_cookie(response, session)
    return response.cookies[get_conf().COOKIE_NAME]

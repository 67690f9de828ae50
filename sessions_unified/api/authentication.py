"""The API's three doors: a session token (cookie or Bearer), a service's key, a staff login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed

from sessions_unified import keys, tokens
from sessions_unified.api.origin import refuse_cross_origin
from sessions_unified.api.principals import Service, Shopper, Staff
from sessions_unified.clock import get_clock
from sessions_unified.cookies import session_id_from_cookie
from sessions_unified.exceptions import InvalidTokenError

if TYPE_CHECKING:
    from rest_framework.request import Request


def _credentials(request: Request, scheme: str) -> str | None:
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    name, _, value = header.partition(" ")
    return value.strip() if name.lower() == scheme else None


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer <token>``, else the session cookie.

    A bad Bearer token is refused; a bad cookie is as none, for it may simply be old. Unsafe
    requests that the cookie speaks for must come from our own pages.
    """

    def authenticate(self, request: Request) -> tuple[Shopper, None] | None:
        """Return the shopper."""
        bearer = _credentials(request, "bearer")
        if bearer is not None:
            try:
                return Shopper(tokens.open_token(bearer, clock=get_clock())), None
            except InvalidTokenError as exc:
                raise AuthenticationFailed(str(exc), code=exc.code) from exc
        session_id = session_id_from_cookie(request._request)
        if session_id is None:
            return None
        refuse_cross_origin(request)
        return Shopper(session_id), None


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Api-Key <key>``."""

    def authenticate(self, request: Request) -> tuple[Service, Any] | None:
        """Return the service."""
        text = _credentials(request, "api-key")
        if text is None:
            return None
        key = keys.find_key(text)
        if key is None:
            message = "This API key is unknown, expired or revoked."
            raise AuthenticationFailed(message, code="invalid_api_key")
        return Service(key.name, frozenset(key.scopes)), key


class StaffAuthentication(SessionAuthentication):
    """The Django login of a staff member, with Django's CSRF check."""

    def authenticate(self, request: Request) -> tuple[Staff, None] | None:
        """Return the staff member."""
        user = getattr(request._request, "user", None)
        if user is None or not user.is_active or not user.is_staff:
            return None
        self.enforce_csrf(request)
        return Staff(user), None

"""The session cookie: the token, HttpOnly, SameSite=Lax, ``__Host-`` over HTTPS (promise R30)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessions_unified import tokens
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import InvalidTokenError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from sessions_unified.snapshot import SessionSnapshot


def issue_cookie(response: HttpResponseBase, session: SessionSnapshot) -> None:
    """Set the cookie that opens ``session`` on ``response``."""
    conf, now = get_conf(), get_clock().now()
    expires_at = tokens.token_expiry(session.created_at, session.expires_at, now=now)
    response.set_cookie(
        conf.COOKIE_NAME,
        tokens.issue(session.id, now=now, expires_at=expires_at),
        max_age=max(0, int((expires_at - now).total_seconds())),
        secure=conf.COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def clear_cookie(response: HttpResponseBase) -> None:
    """Make the browser forget the cookie."""
    conf = get_conf()
    # Not delete_cookie: it leaves Secure out for names without __Host-.
    response.set_cookie(
        conf.COOKIE_NAME,
        "",
        max_age=0,
        secure=conf.COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def session_id_from_cookie(request: HttpRequest) -> str | None:
    """Return the session id that the request's cookie opens; None without a valid one."""
    token = request.COOKIES.get(get_conf().COOKIE_NAME)
    if not token:
        return None
    try:
        return tokens.open_token(token, clock=get_clock())
    except InvalidTokenError:
        return None

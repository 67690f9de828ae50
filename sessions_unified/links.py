"""One-time links: how a shopper without a token (an imported one) comes to theirs."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import InvalidLinkError
from sessions_unified.models import SessionLink


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_link(session_id: str, *, actor: str) -> str:
    """Return the secret of a new link to ``session_id``; only its hash is stored."""
    secret = secrets.token_urlsafe(32)
    now = get_clock().now()
    SessionLink.objects.using(get_conf().DATABASE_ALIAS).create(
        digest=_digest(secret),
        session_id=session_id,
        created_by=actor,
        created_at=now,
        expires_at=now + timedelta(seconds=get_conf().LINK_LIFETIME_SECONDS),
    )
    return secret


def redeem_link(secret: str) -> str:
    """Return the session id of an unused link and use it up: one caller wins.

    Raises:
        InvalidLinkError: unknown, used or too old.

    """
    now = get_clock().now()
    links = SessionLink.objects.using(get_conf().DATABASE_ALIAS)
    unused = links.filter(digest=_digest(secret), redeemed_at=None, expires_at__gt=now)
    if not unused.update(redeemed_at=now):
        raise InvalidLinkError
    return links.values_list("session_id", flat=True).get(digest=_digest(secret))

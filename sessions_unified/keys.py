"""API keys of services: 256 random bits, shown once, kept as a hash.

A key of that entropy needs no slow hash; see docs/explanation/libraries.md for why this is ours.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from django.db.models import Q

from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.models import ServiceKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

READ: Final = "sessions:read"
WRITE: Final = "sessions:write"
SCOPES: Final = (READ, WRITE)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(
    name: str, scopes: Iterable[str], *, expires_at: datetime | None = None
) -> tuple[ServiceKey, str]:
    """Store a new key and return it with its text, which cannot be had again.

    Raises:
        ValueError: a scope is unknown.

    """
    wanted = sorted(set(scopes))
    unknown = set(wanted) - set(SCOPES)
    if unknown:
        message = f"Unknown scopes: {', '.join(sorted(unknown))}; there are {', '.join(SCOPES)}."
        raise ValueError(message)
    prefix = secrets.token_hex(4)
    text = f"{prefix}.{secrets.token_urlsafe(32)}"
    key = ServiceKey.objects.using(get_conf().DATABASE_ALIAS).create(
        name=name, prefix=prefix, digest=_digest(text), scopes=wanted, expires_at=expires_at
    )
    return key, text


def find_key(text: str) -> ServiceKey | None:
    """Return the live key whose text this is."""
    prefix, dot, _ = text.partition(".")
    if not dot:
        return None
    now = get_clock().now()
    live = ServiceKey.objects.using(get_conf().DATABASE_ALIAS).filter(
        Q(expires_at=None) | Q(expires_at__gt=now), prefix=prefix, revoked_at=None
    )
    key = live.first()
    if key is None or not hmac.compare_digest(key.digest, _digest(text)):
        return None
    return key

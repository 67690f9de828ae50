"""Keys for a site that runs on a developer's machine; production brings its own."""

from __future__ import annotations

import secrets


def new_site_keys(kid: str) -> dict[str, str]:
    """Return new values of the settings' secret variables.

    Args:
        kid: the name of the one token key, and of the one encryption key.

    """
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SESSION_TOKEN_KEYS": f"{kid}:{secrets.token_urlsafe(32)}",
        "ENCRYPTION_KEYS": f"{kid}:{secrets.token_urlsafe(32)}",
    }

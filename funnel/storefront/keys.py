"""The idempotency keys of the storefront's forms."""

from __future__ import annotations

import secrets


def new_key() -> str:
    """Return an idempotency key: one for each time a form is shown anew."""
    return secrets.token_urlsafe(24)

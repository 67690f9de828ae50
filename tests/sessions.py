"""Sessions for tests: snapshots by keyword, and sessions put where the real ones are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sessions_unified.snapshot import SessionSnapshot, decode_hook

BORN = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(**fields: Any) -> SessionSnapshot:
    """Return a snapshot at the checkout; JSON-shaped values are converted."""
    given = {
        "id": "ws_1_a",
        "status": "pending",
        "current_step": "checkout",
        "version": 1,
        "created_at": BORN,
        "updated_at": BORN,
        "expires_at": BORN + timedelta(hours=24),
    } | fields
    return msgspec.convert(given, SessionSnapshot, dec_hook=decode_hook)

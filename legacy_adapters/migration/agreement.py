"""Whether a legacy record and a session say the same, field by field."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from sessions_unified.flow import COMPLETED, EXPIRED, get_flow
from sessions_unified.snapshot import SessionSnapshot

# Bookkeeping: what it is on one side says nothing of the other.
_NOT_COMPARED: Final = frozenset({"version", "updated_at", "expires_at"})
COMPARED: Final = tuple(
    name for name in SessionSnapshot.__struct_fields__ if name not in _NOT_COMPARED
)

_numbers = msgspec.json.Encoder(decimal_format="number")


def differing_fields(
    legacy: SessionSnapshot, unified: SessionSnapshot, *, now: datetime
) -> tuple[str, ...]:
    """Return the names of the fields in which they differ; none: they agree.

    A legacy session past its end agrees with one that was settled for it: an import settles it.
    """
    plain = _differences(legacy, unified)
    settled = _settled(legacy, now)
    if not plain or settled is legacy:
        return plain
    return min(plain, _differences(settled, unified), key=len)


def _settled(session: SessionSnapshot, now: datetime) -> SessionSnapshot:
    if session.status in {COMPLETED, EXPIRED} or session.expires_at > now:
        return session
    end = get_flow().end
    changes: dict[str, Any] = {"status": EXPIRED, "payment_token": None}
    if session.is_paid:
        changes |= {"status": end.status, "current_step": end.step}
    return msgspec.structs.replace(session, **changes)


def _differences(legacy: SessionSnapshot, unified: SessionSnapshot) -> tuple[str, ...]:
    return tuple(
        name for name in COMPARED if _plain(getattr(legacy, name)) != _plain(getattr(unified, name))
    )


def _plain(value: Any) -> Any:
    """Return the value as it is after a way through the database's JSON."""
    if isinstance(value, str | Decimal | datetime | None):
        return value
    return msgspec.json.decode(_numbers.encode(value))

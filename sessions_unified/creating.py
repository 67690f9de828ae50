"""A session's first state: what its creator gives, at the flow's first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessions_unified import expiry, ids
from sessions_unified.changes import coerce
from sessions_unified.flow import get_flow
from sessions_unified.money import quantize
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def first_state(
    fields: Mapping[str, Any], *, session_id: str | None, now: datetime
) -> SessionSnapshot:
    """Return the session that begins ``now`` with these fields, amount and currency among them.

    None for ``session_id``: it is minted.

    Raises:
        InvalidChangeError: a value is of the wrong kind.

    """
    given = coerce(fields)
    if given["amount"] is not None:
        given["amount"] = quantize(given["amount"], given["currency"])
    start = get_flow().start
    ends_at = expiry.deadline(status=start.status, step=start.step, created_at=now, now=now)
    return SessionSnapshot(
        id=session_id or ids.mint_session_id(int(now.timestamp() * 1000)),
        status=start.status,
        current_step=start.step,
        version=1,
        created_at=now,
        updated_at=now,
        expires_at=ends_at,
        **given,
    )

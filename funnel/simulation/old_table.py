"""The old shop's living sessions, out of its own table, for shoppers who come back.

It is read as anybody could: the site's settings say where it is, and nothing of it is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import DatabaseError, connections
from psycopg import sql

from funnel.simulation.ledger import STEPS
from funnel.simulation.old_shop import OldSession

if TYPE_CHECKING:
    from collections.abc import Sequence

# Those that the old shop minted itself, and that will outlive the visit.
_LIVING: Final = """
    SELECT id, email, customer_info, products, status, current_step, upsells_accepted,
           upsells_declined, vault_id, transaction_id, created_at, expires_at
      FROM {}
     WHERE status IN ('pending', 'processing') AND current_step = ANY(%s)
       AND email LIKE '%%@%%' AND length(split_part(id, '_', 3)) <= 9
       AND expires_at > now() + interval '10 minutes'
     ORDER BY id
     LIMIT 1000
"""


def cookie_secret() -> str:
    """Return what the old shop signs its cookie with now; empty: no cookie of its is read."""
    adapters: dict[str, dict[str, Any]] = getattr(settings, "LEGACY_ADAPTERS", {})
    secrets: Sequence[str] = adapters.get("cookie", {}).get("SECRETS", ())
    return secrets[0] if secrets else ""


def living_sessions() -> list[OldSession]:
    """Return the sessions whose shoppers may come back; none where there is no such table."""
    adapters: dict[str, dict[str, Any]] = getattr(settings, "LEGACY_ADAPTERS", {})
    place = adapters.get("database")
    if place is None:
        return []
    table = sql.Identifier(*str(place["TABLE"]).split("."))
    try:
        with connections[place["ALIAS"]].cursor() as cursor:
            cursor.execute(sql.SQL(_LIVING).format(table), [list(STEPS)])
            names = [column.name for column in cursor.description or ()]
            return [_session(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    except DatabaseError:
        return []


def _read(value: Any) -> Any:
    """Return a column's JSON, which Django leaves as text."""
    return json.loads(value) if isinstance(value, str) else value


def _session(row: dict[str, Any]) -> OldSession:
    return OldSession(
        id=row["id"],
        email=row["email"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=row["status"],
        current_step=row["current_step"],
        customer=_read(row["customer_info"]) or {},
        products=_read(row["products"]) or (),
        vault_id=row["vault_id"],
        transaction_id=row["transaction_id"],
        accepted=_read(row["upsells_accepted"]) or (),
        declined=_read(row["upsells_declined"]) or (),
    )

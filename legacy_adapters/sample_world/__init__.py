"""A small legacy shop, for demos and tests: its sessions as its code left them.

All people and shops in it are invented. The world's time zero is ``now`` in ``world.json``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

if TYPE_CHECKING:
    from legacy_adapters.database.store import Table

_TABLE: Final = "funnel_sessions"


def time_zero() -> datetime:
    """Return the moment at which the world stands."""
    world = json.loads(_read("world.json"))
    return datetime.fromtimestamp(world["now"] / 1000, tz=UTC)


def load(table: Table, *, now: datetime | None = None) -> int:
    """Create the table and fill it, all or nothing; return how many rows it has then.

    Its times are shifted so that the world's time zero is ``now``; None leaves them as they are.
    The table must be absent or empty.
    """
    create, *inserts = _read("database.sql").splitlines()
    with transaction.atomic(using=table.alias), table.connection.cursor() as cursor:
        cursor.execute(create.replace(f"TABLE {_TABLE}", f"TABLE IF NOT EXISTS {table.quoted}", 1))
        for insert in inserts:
            cursor.execute(insert.replace(f"INTO {_TABLE}", f"INTO {table.quoted}", 1))
        if now is not None:
            params: dict[str, Any] = {"shift": now - time_zero()}
            update = (
                "UPDATE {} SET created_at = created_at + %(shift)s, "
                "updated_at = updated_at + %(shift)s, expires_at = expires_at + %(shift)s"
            )
            cursor.execute(table.statement(update), params)
    ((number,),) = table.fetch("SELECT count(*) FROM {}")
    return int(number)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")

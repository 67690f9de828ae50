"""Marks: which sessions hold a newer state on one side. They outlive whoever made them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.migration.stages.slicing import bucket_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sessions_unified.tiers.database import DatabaseTier

TABLE: Final = "legacy_adapters_writemark"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A session's mark.

    Attributes:
        side: the side that holds the newer state.
        generation: grows with each write.

    """

    side: Side
    generation: int


_PUT: Final = (
    f"INSERT INTO {TABLE} AS mark "  # noqa: S608  (our own table; every value is a parameter)
    "(session_id, side, generation, bucket, marked_at, due_at, attempts, problem, is_dead) "
    "VALUES (%s, %s, 1, %s, %s, %s, 0, '', false) ON CONFLICT (session_id) DO UPDATE "
    "SET generation = mark.generation + 1, is_dead = false, "
    "due_at = GREATEST(mark.due_at, excluded.due_at) RETURNING side, generation"
)
_FIND: Final = f"SELECT side, generation FROM {TABLE} WHERE session_id = %s"  # noqa: S608
_CLEAR: Final = f"DELETE FROM {TABLE} WHERE session_id = %s AND generation = %s RETURNING 1"  # noqa: S608


def put(database: DatabaseTier, session_id: str, side: Side, now: datetime) -> Mark:
    """Mark a session, before it is written on ``side``; return the mark as it is then.

    One that is marked already keeps its side: it must be healed before the other is written.
    """
    due_at = now + timedelta(seconds=get_conf().REPAIR_DELAY_SECONDS)
    values = [session_id, side.value, bucket_of(session_id), now, due_at]
    ((found, generation),) = database.fetch(_PUT, values)
    return Mark(side=Side(found), generation=generation)


def find(database: DatabaseTier, session_id: str, *, for_update: bool = False) -> Mark | None:
    """Return a session's mark; None: both sides agree, for all that is known."""
    found = database.fetch(f"{_FIND} FOR UPDATE" if for_update else _FIND, [session_id])
    return Mark(side=Side(found[0][0]), generation=found[0][1]) if found else None


def clear(database: DatabaseTier, session_id: str, generation: int) -> bool:
    """Take the mark off, if no write has come since; tell whether."""
    return bool(database.fetch(_CLEAR, [session_id, generation]))


_PUT_MANY: Final = (
    f"INSERT INTO {TABLE} AS mark "  # noqa: S608
    "(session_id, side, generation, bucket, marked_at, due_at, attempts, problem, is_dead) "
    "SELECT id, %s, 1, bucket, %s, %s, 0, '', false "
    "FROM unnest(%s::text[], %s::int[]) AS t(id, bucket) ORDER BY id "
    "ON CONFLICT (session_id) DO NOTHING"
)


def put_many(
    database: DatabaseTier, session_ids: Collection[str], side: Side, now: datetime
) -> None:
    """Mark several sessions whose rows are locked, to be repaired by a worker; others stay so.

    What is repaired is the state that it finds under the row's lock, so that one mark is enough.
    """
    ids = sorted(session_ids)
    if ids:
        buckets = [bucket_of(each) for each in ids]
        database.fetch(f"{_PUT_MANY} RETURNING 1", [side.value, now, now, ids, buckets])

"""A session that lives in the legacy store, with what that store cannot hold, from our own row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from legacy_adapters.migration import marks
from legacy_adapters.migration.stages.names import Side
from sessions_unified.money import quantize
from sessions_unified.snapshot import FrozenDict, SessionSnapshot, freeze
from sessions_unified.tiers.rows import FIELDS, SESSIONS, from_row
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from sessions_unified.tiers.database import DatabaseTier

UNMAPPED: Final = frozenset({"currency", "metadata"})
"""Fields that no legacy store has a place for; the upsells' details are another, within a field."""

APART: Final = 10**17
"""Added to the version of a session that is not read whole: later than any date in µs, and still a
number that an ETag can name."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Annex:
    """What our own database has of a session that lives in the legacy store.

    Attributes:
        session: our row; None: there is none, or it is a tombstone.
        is_deleted: it is a tombstone.
        marked: the side that holds a newer state than the other, if any.

    """

    session: SessionSnapshot | None = None
    is_deleted: bool = False
    marked: Side | None = None


def _finding(ids: str) -> str:
    return (
        f"SELECT one.id, {', '.join(f's.{name}' for name in FIELDS)}, s.deleted_at IS NOT NULL, "  # noqa: S608
        f"(SELECT side FROM {marks.TABLE} WHERE session_id = one.id) "
        f"FROM {ids} AS one(id) LEFT JOIN {SESSIONS} AS s ON s.id = one.id"
    )


_FIND: Final = _finding("(SELECT %s::text)")
_FIND_MANY: Final = _finding("unnest(%s::text[])")


def find_annex(database: DatabaseTier, session_id: str) -> Annex:
    """Return what our own database has of a session.

    Raises:
        DatabaseUnavailableError: it did not answer.

    """
    ((_, *found),) = database.fetch(_FIND, [session_id])
    return _annex(*found)


def find_annexes(database: DatabaseTier, session_ids: Iterable[str]) -> dict[str, Annex]:
    """Return what our own database has of several sessions, by id, in one statement.

    Raises:
        DatabaseUnavailableError: it did not answer.

    """
    found = database.fetch(_FIND_MANY, [list(session_ids)])
    return {session_id: _annex(*rest) for session_id, *rest in found}


def _annex(*found: Any) -> Annex:
    *columns, is_deleted, marked = found
    is_there = columns[0] is not None and not is_deleted
    return Annex(
        session=from_row(columns) if is_there else None,
        is_deleted=bool(is_deleted),
        marked=None if marked is None else Side(marked),
    )


def version_of(updated_at: datetime) -> int:
    """Return the version of a session that was read from the legacy store: its µs since 1970."""
    return (updated_at - _EPOCH) // _MICROSECOND


def joined(legacy: SessionSnapshot, ours: SessionSnapshot | None) -> SessionSnapshot:
    """Return the session as the legacy store has it, with what it cannot hold from our row.

    Our row is written in step: with the store's own ``updated_at``. One that is behind has missed
    a write of the old code, or is about to be committed; so what it holds belongs to another
    version than the store's, and a write that builds on it finds a conflict once it is in step.
    """
    changes: dict[str, Any] = {"version": version_of(legacy.updated_at)}
    if ours is not None:
        if ours.updated_at != legacy.updated_at:
            changes["version"] += APART
        changes |= {
            "currency": ours.currency,
            "amount": _amount(legacy, ours),
            "metadata": _metadata(legacy, ours),
            "upsells": msgspec.structs.replace(legacy.upsells, details=ours.upsells.details),
        }
    return msgspec.structs.replace(legacy, **changes)


def _amount(legacy: SessionSnapshot, ours: SessionSnapshot) -> Decimal | None:
    """Return the amount in the session's currency, of which that store's reading may be rounded."""
    said, known = legacy.amount, ours.amount
    if said is not None and known is not None and quantize(known, legacy.currency) == said:
        said = known
    return None if said is None else quantize(said, ours.currency)


def _metadata(legacy: SessionSnapshot, ours: SessionSnapshot) -> FrozenDict:
    """Return our metadata; what each store keeps there for itself is as it says now."""
    kept = {**_kept(ours), **_kept(legacy)}
    plain = {name: value for name, value in ours.metadata.items() if name != INTERNAL_METADATA}
    found: FrozenDict = freeze({**plain, INTERNAL_METADATA: kept} if kept else plain)
    return found


def _kept(session: SessionSnapshot) -> dict[str, Any]:
    found = session.metadata.get(INTERNAL_METADATA)
    return dict(found) if isinstance(found, dict) else {}


def is_for_ours_alone(session: SessionSnapshot, *, currency: str) -> bool:
    """Tell whether a new session says something that the legacy store cannot hold."""
    return bool(session.metadata or session.upsells.details or session.currency != currency)

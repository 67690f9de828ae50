"""A session that is here and comes again from elsewhere: replaced by it, or merged with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import transaction

from sessions_unified.changes import event_data
from sessions_unified.exceptions import VersionConflictError
from sessions_unified.importing import settle_imported
from sessions_unified.jsonb import is_same
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_imported
from sessions_unified.tiers.base import Copy
from sessions_unified.tiers.database import Change, LockedRow
from sessions_unified.tiers.rows import COLUMNS, FIELDS, SESSIONS, from_row

if TYPE_CHECKING:
    from collections.abc import Collection

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

_REPLACED: Final = tuple(name for name in FIELDS if name not in {"id", "version", "created_at"})
_NO_CHANGE: Final = frozenset({"id", "version", "updated_at", "expires_at"})
"""What says nothing by itself: bookkeeping, which is written along with a change."""


def lock_sessions(tiers: Tiers, session_ids: Collection[str]) -> dict[str, LockedRow]:
    """Lock the rows of several sessions until the transaction ends, and return them by id.

    In the order of their ids, so that two who lock the same ones never wait for each other both.
    A tombstone is none.
    """
    if not session_ids:
        return {}
    true_at = tiers.clock.now()
    found = tiers.database.query(
        f"SELECT {COLUMNS}, holds, last_seen_at FROM {SESSIONS} "
        "WHERE id = ANY(%s) AND deleted_at IS NULL ORDER BY id FOR UPDATE",
        [list(session_ids)],
    )
    locked = {}
    for *columns, holds, seen in found:
        copy = Copy(from_row(columns), true_at)
        locked[copy.session.id] = LockedRow(copy=copy, holds=holds, last_seen_at=seen)
    return locked


def replace_imported(
    tiers: Tiers, session: SessionSnapshot, *, if_version: int, source: str
) -> int:
    """Overwrite a session by a newer state of its source; return its version.

    Raises:
        VersionConflictError: it is no longer at ``if_version``: it has changed here too.

    """
    after = msgspec.structs.replace(session, version=if_version + 1)
    return _write(tiers, after, _REPLACED, kind="session_reimported", source=source)


def changed_fields(before: SessionSnapshot, after: SessionSnapshot) -> tuple[str, ...]:
    """Return what a merge changes in a session, bookkeeping aside."""
    return tuple(
        name
        for name in FIELDS
        if name not in _NO_CHANGE and not is_same(getattr(before, name), getattr(after, name))
    )


def merge_imported(
    tiers: Tiers, before: SessionSnapshot, merged: SessionSnapshot, *, source: str
) -> int:
    """Write what ``merged``, with a record of the source, changes in a session; return its version.

    Raises:
        VersionConflictError: it is no longer at the version that it had ``before``.

    """
    after = msgspec.structs.replace(merged, id=before.id, version=before.version + 1)
    names = changed_fields(before, after)
    moved = event_data(before, after)
    return _write(tiers, after, names, kind="session_merged", source=source, moved=moved)


def _write(
    tiers: Tiers,
    after: SessionSnapshot,
    names: tuple[str, ...],
    *,
    kind: str,
    source: str,
    moved: dict[str, Any] | None = None,
) -> int:
    change = Change(
        kind=kind,
        actor=f"import:{source}",
        at=tiers.clock.now(),
        changed=() if moved is None else names,
        data={"source": source, **(moved or {})},
    )
    with tiers.database.transaction():
        if not tiers.database.compare_and_set(after.version - 1, after, change, names):
            raise VersionConflictError
        session_imported.send(sender=UnifiedSession, sessions=[after])
        transaction.on_commit(
            lambda: publish_gone(tiers, {after.id: after.version}), using=tiers.database.alias
        )
        return settle_imported(tiers, [after], source=source).get(after.id, after.version)

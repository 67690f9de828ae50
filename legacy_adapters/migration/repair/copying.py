"""One session's state copied from the side that its mark names to the other, and the mark cleared.

Under the session's lock, and by state rather than by change: order and repeats do not matter, and
two writers cannot overtake each other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from django.db import transaction

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration import marks
from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.records import Reading
from legacy_adapters.migration.joining import joined
from legacy_adapters.migration.old_stores import OldStores
from legacy_adapters.migration.stages.names import Side
from sessions_unified.exceptions import SessionHeldError
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_copy, publish_gone
from sessions_unified.reimporting import changed_fields
from sessions_unified.signals import session_deleted, session_imported
from sessions_unified.tiers import Copy
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from legacy_adapters.migration.old_stores import Found
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import LockedRow

ACTOR: Final = "repair"


def repair(tiers: Tiers, session_id: str) -> bool:
    """Bring the side up that a session's mark says is behind; tell whether there was a mark.

    Raises:
        DatabaseUnavailableError: a side did not answer; the mark stays.
        UnwritableRecordError: the legacy store cannot say what the session says; the mark stays.
        UnreadableRecordError: the legacy record became unreadable; the mark stays.
        SessionHeldError: it was deleted in the legacy store while a charge is open; the mark stays.

    """
    database = tiers.database
    with database.transaction():
        row = database.lock(session_id)
        mark = marks.find(database, session_id)
        if mark is None:
            return False
        stores = OldStores("default", None)
        if mark.side is Side.UNIFIED:
            _to_legacy(tiers, stores, session_id, row)
        else:
            _to_unified(tiers, stores, session_id, row)
        marks.clear(database, session_id, mark.generation)
    return True


def _to_legacy(tiers: Tiers, stores: OldStores, session_id: str, row: LockedRow | None) -> None:
    with stores.holding(session_id):
        if row is None:
            if _is_tombstone(tiers, session_id):
                stores.delete(session_id)
            return
        found = stores.find(session_id)
        stores.save(row.copy.session, before=None if found is None else found.record)


def _is_tombstone(tiers: Tiers, session_id: str) -> bool:
    rows = UnifiedSession.objects.using(tiers.database.alias).filter(
        pk=session_id, deleted_at__isnull=False
    )
    return rows.exists()


def _to_unified(tiers: Tiers, stores: OldStores, session_id: str, row: LockedRow | None) -> None:
    found = stores.find(session_id)
    if found is None:
        _delete(tiers, session_id, row)
    elif row is None:
        _insert(tiers, stores, found)
    else:
        copy_to_unified(tiers, found.session, row)


def _insert(tiers: Tiers, stores: OldStores, found: Found) -> None:
    """Import what is not here; a tombstone stays one."""
    if found.record is None:
        raise UnreadableRecordError("another store than the primary one alone knows it")
    primary = stores.primary
    reading = Reading(record=found.record, session=found.session)
    import_batch(
        tiers, [reading], source=primary.source, store=primary.store, fields=primary.fields
    )


def copy_to_unified(tiers: Tiers, legacy: SessionSnapshot, row: LockedRow) -> bool:
    """Write what the legacy store says into our locked row, with an event; tell if it differed.

    What that store cannot hold stays. Whoever receives `session_imported` records what is paid.
    """
    ours, now = row.copy.session, tiers.clock.now()
    wanted = msgspec.structs.replace(joined(legacy, ours), version=ours.version + 1, updated_at=now)
    names = changed_fields(ours, wanted)
    if not names and ours.expires_at == wanted.expires_at:
        return False
    change = Change(kind="session_repaired", actor=ACTOR, at=now, changed=names)
    if not tiers.database.compare_and_set(ours.version, wanted, change, names):
        return False  # not possible under its lock
    session_imported.send(sender=UnifiedSession, sessions=[wanted])
    publish = partial(publish_copy, tiers, Copy(wanted, now))
    transaction.on_commit(publish, using=tiers.database.alias)
    return True


def _delete(tiers: Tiers, session_id: str, row: LockedRow | None) -> None:
    """Delete our row as the legacy one was: to a tombstone."""
    if row is None:
        return
    change = Change(kind="session_deleted", actor=ACTOR, at=tiers.clock.now())
    version = tiers.database.tombstone(session_id, change)
    if version is None:
        raise SessionHeldError
    session_deleted.send(sender=UnifiedSession, session_ids=[session_id])
    publish = partial(publish_gone, tiers, {session_id: version})
    transaction.on_commit(publish, using=tiers.database.alias)

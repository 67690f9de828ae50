"""One session's state copied from the side that its mark names to the other, and the mark cleared.

Under the session's lock, and by state rather than by change: order and repeats do not matter, and
two writers cannot overtake each other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration import marks
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.records import Reading
from legacy_adapters.migration.repair.following import ACTOR, copy_to_unified, read, remember
from legacy_adapters.migration.repair.payments import has_lost
from legacy_adapters.migration.sides.old_stores import OldStores
from legacy_adapters.migration.stages.names import Side
from sessions_unified.exceptions import SessionHeldError
from sessions_unified.importing import is_taken
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_deleted
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyAdapter
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import LockedRow


def repair(tiers: Tiers, session_id: str) -> bool:
    """Bring the side up that a session's mark says is behind; tell whether there was a mark.

    What was deleted here is deleted there, whatever the mark says: a tombstone stays one.

    Raises:
        DatabaseUnavailableError: a side did not answer; the mark stays.
        UnwritableRecordError: the legacy store cannot say what the session says; the mark stays.
        UnreadableRecordError: the legacy record became unreadable; the mark stays.
        PaymentContradictedError: the sides name different payments; the mark stays.
        SessionHeldError: it was deleted in the legacy store while a charge is open; the mark stays.

    """
    database = tiers.database
    with database.transaction():
        row = database.lock(session_id)
        mark = marks.find(database, session_id)
        if mark is None:
            return False
        stores = OldStores("default", None)
        if row is None and is_taken(tiers, session_id):
            with stores.holding(session_id):
                stores.delete(session_id)
        elif mark.side is Side.LEGACY:
            _to_unified(tiers, stores, session_id, row)
        elif row is not None:
            _to_legacy(tiers, stores, row.copy.session)
        marks.clear(database, session_id, mark.generation)
    return True


def _to_unified(tiers: Tiers, stores: OldStores, session_id: str, row: LockedRow | None) -> None:
    primary = stores.primary
    found = read(primary, session_id)
    if found is None and row is not None and _never_was_there(tiers, primary, session_id):
        _to_legacy(tiers, stores, row.copy.session)
    elif found is None:
        _delete(tiers, session_id, row)
    elif row is None:
        source, store, fields = primary.source, primary.store, primary.fields
        import_batch(tiers, [found], source=source, store=store, fields=fields)
    else:
        session = copy_to_unified(tiers, primary, found, row)
        remember(tiers, primary, found)
        if has_lost(found.session, session, is_held=row.holds > 0):
            _to_legacy(tiers, stores, session)


def _never_was_there(tiers: Tiers, primary: LegacyAdapter, session_id: str) -> bool:
    """Tell whether a session came from other stores alone: a cookie's, met by its contact.

    That the primary store has none of it does not say that it was deleted there.
    """
    alias, source = tiers.database.alias, primary.source
    is_from_elsewhere = session_id in records.elsewhere(alias, source, [session_id])
    return is_from_elsewhere and session_id not in records.known(alias, source, [session_id])


def _to_legacy(tiers: Tiers, stores: OldStores, session: SessionSnapshot) -> None:
    """Write what differs into the legacy record; one that cannot be read is written whole."""
    with stores.holding(session.id):
        try:
            found = read(stores.primary, session.id)
            stored = stores.save(session, before=None if found is None else found.record)
        except UnreadableRecordError:
            # The first leaves alone what the session does not say; then it can be read.
            stored = stores.save(session, before=None)
            stored = stores.save(session, before=stored.record)
    if stored.record is not None:
        remember(tiers, stores.primary, Reading(record=stored.record, session=stored.session))


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

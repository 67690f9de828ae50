"""Our row follows the legacy record: what that says now is written here, and known from then on.

For repair, and for a backfill of what the legacy store has the say of.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from django.db import transaction

from legacy_adapters import patience
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.records import MIXED, Reading
from legacy_adapters.migration.repair.payments import (
    PaymentContradictedError,
    is_contradicted,
    keeping_paid,
)
from legacy_adapters.migration.sides.joining import joined
from legacy_adapters.migration.sides.primary import answering
from sessions_unified.changes import event_data
from sessions_unified.exceptions import VersionConflictError
from sessions_unified.flow import COMPLETED, EXPIRED
from sessions_unified.importing import settle_imported
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_copy
from sessions_unified.reimporting import changed_fields
from sessions_unified.signals import session_imported
from sessions_unified.tiers import Copy
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyAdapter
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import LockedRow

ACTOR: Final = "repair"


def read(primary: LegacyAdapter, session_id: str) -> Reading | None:
    """Return the primary store's record of a session as it is now, past its end or not.

    Raises:
        DatabaseUnavailableError: the store did not answer.
        UnreadableRecordError: there is one, and it cannot be read: it is not gone.

    """
    with answering():
        record = patience.peek(primary, session_id)
    if record is None:
        return None
    session = primary.to_unified(record)
    if session.id != session_id:
        raise UnreadableRecordError("it is of another session")
    return Reading(record=record, session=session)


def copy_to_unified(
    tiers: Tiers, primary: LegacyAdapter, found: Reading, row: LockedRow
) -> SessionSnapshot:
    """Write what a legacy record says into our locked row, with an event; return the session.

    What that store cannot hold stays, and so does what is paid here or being paid. Whoever receives
    `session_imported` records what is paid there.

    Raises:
        PaymentContradictedError: the sides name different payments.

    """
    ours, now = row.copy.session, tiers.clock.now()
    if is_contradicted(found.session, ours):
        raise PaymentContradictedError
    said = keeping_paid(joined(found.session, ours), ours, is_held=row.holds > 0)
    wanted = msgspec.structs.replace(said, version=ours.version + 1)  # in step: `joined`
    names = changed_fields(ours, wanted)
    if not names and ours.expires_at == wanted.expires_at:
        return ours
    is_settled = ours.status in {COMPLETED, EXPIRED} and wanted.expires_at <= now
    if is_settled and not differing(said, ours, fields=primary.fields, now=now):
        return ours  # past its end, of which the old shop takes no notice
    change = Change(
        kind="session_repaired", actor=ACTOR, at=now, changed=names, data=event_data(ours, wanted)
    )
    if not tiers.database.compare_and_set(ours.version, wanted, change, names):
        raise VersionConflictError  # not possible under its lock
    session_imported.send(sender=UnifiedSession, sessions=[wanted])
    publish = partial(publish_copy, tiers, Copy(wanted, now))
    transaction.on_commit(publish, using=tiers.database.alias)
    settle_imported(tiers, [wanted], source=ACTOR)
    return wanted


def remember(tiers: Tiers, primary: LegacyAdapter, found: Reading) -> None:
    """Let a backfill know the record as it is: unchanged, and not a conflict.

    As one that went into a session which says more: none that was read earlier, and comes later,
    replaces it.
    """
    now = tiers.clock.now()
    records.remember(tiers.database.alias, primary.source, [found], {found.id: MIXED}, now)

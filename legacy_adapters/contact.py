"""Import on contact: a session that only legacy stores know comes over when it is met."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from legacy_adapters import patience
from legacy_adapters.conf import get_adapters
from legacy_adapters.conflicts import recording
from legacy_adapters.merging import evidence
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.gathering import gather, together
from legacy_adapters.migration.importing.refusals import REFUSALS, is_duplicate
from sessions_unified.ids import is_session_id
from sessions_unified.importing import import_sessions, is_taken
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.merging import Merged
    from legacy_adapters.migration.importing.records import Reading
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

_SOURCE: Final = "contact"


def import_on_contact(
    session_id: str, request: HttpRequest | None = None
) -> SessionSnapshot | None:
    """Return the session of this id; import it from the legacy stores if it is not here yet.

    The stores of the server, and those of the request's browser that the server trusts, are read
    (``peek``), merged, and imported in one transaction with its conflicts. A session that is here
    is returned as it is; a tombstone stays dead. None: nobody trusted knows it, or the
    database cannot hold it, or its copies contradict each other and a person must decide first.
    What is past its end is imported too, and settled: it answers that it is over, not that it never
    was.

    Raises:
        SourceUnavailableError: a legacy store did not answer, so that what it knows is not known.
        DatabaseUnavailableError: ours did not.

    """
    tiers = get_tiers()
    here = tiers.database.peek(session_id)
    if here is not None:
        return here.session
    adapters = [each for each in get_adapters(request) if each.store.is_trusted]
    if not adapters or not is_session_id(session_id):
        return None
    return _try(tiers, adapters, session_id)


def _try(
    tiers: Tiers, adapters: list[LegacyAdapter], session_id: str, *, is_again: bool = False
) -> SessionSnapshot | None:
    """Import in one transaction; again, if another's commit alone stood in the way."""
    try:
        with tiers.database.transaction():
            return _under_its_lock(tiers, adapters, session_id)
    except REFUSALS as exc:
        if is_duplicate(exc) and not is_again:
            return _try(tiers, adapters, session_id, is_again=True)
        logger.warning("Session %s cannot be stored: %s", session_id, type(exc).__name__)
        return None


def _under_its_lock(
    tiers: Tiers, adapters: list[LegacyAdapter], session_id: str
) -> SessionSnapshot | None:
    """Read the stores and import, where no other request and no repair does it meanwhile."""
    row = tiers.database.lock(session_id)
    if row is not None:
        return row.copy.session
    if is_taken(tiers, session_id):
        return None
    leave_out = partial(_leave_out, session_id)
    found = gather(adapters, session_id, peek=patience.peek, leave_out=leave_out)
    if not found:
        return None
    merged = together(found)
    _note_conflicts(tiers, found, merged)
    return None if merged.is_blocked else _import(tiers, found, merged.session)


def _leave_out(session_id: str, adapter: LegacyAdapter, reason: str) -> None:
    logger.warning(
        "Session %s in the legacy store %r is left out: %s", session_id, adapter.source, reason
    )


def _note_conflicts(tiers: Tiers, found: Mapping[LegacyAdapter, Reading], merged: Merged) -> None:
    """Put on record what the less trusted stores say against the others."""
    for adapter, reading in list(found.items())[1:]:
        theirs = [each for each in merged.conflicts if adapter.store in each.values]
        finding = recording.Finding(
            session_id=reading.id,
            digest=reading.record.digest,
            evidence=evidence.of_conflicts(theirs),
        )
        recording.record(
            source=adapter.source,
            findings=[finding] if theirs else [],
            now=tiers.clock.now(),
            using=tiers.database.alias,
        )


def _import(
    tiers: Tiers, found: Mapping[LegacyAdapter, Reading], session: SessionSnapshot
) -> SessionSnapshot | None:
    versions = import_sessions(tiers, [session], source=_SOURCE)
    stored = tiers.database.peek(session.id)
    if stored is None:
        return None
    # None if a backfill was quicker: these may be newer states than it read, which it meets later.
    for adapter, reading in found.items() if versions else ():
        records.remember(
            tiers.database.alias, adapter.source, [reading], versions, tiers.clock.now()
        )
    return stored.session

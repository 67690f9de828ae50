"""A session that the contradiction of its copies has kept out: it comes in as the others say.

On contact nothing is imported while trusted copies contradict each other. A person who decides
against one of them lets the rest in, which are read again for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from legacy_adapters.conf import get_adapters
from legacy_adapters.exceptions import ResolutionRefusedError
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.gathering import gather, together
from sessions_unified.importing import import_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.migration.importing.records import Reading
    from legacy_adapters.models import SessionConflict
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

_NOBODY: Final = (
    "No other store that can be read here knows the session, or they contradict each other too. "
    "Nothing was imported."
)


def said_elsewhere(conflict: SessionConflict) -> SessionSnapshot | None:
    """Return what the other trusted stores of the server say of the session together.

    None: none of them knows it, or they contradict each other too.

    Raises:
        SourceUnavailableError: a store did not answer.

    """
    return _agreed(_gathered(conflict))


def admit(tiers: Tiers, conflict: SessionConflict) -> None:
    """Import the session as the other stores say; part of the caller's transaction.

    Raises:
        ResolutionRefusedError: they do not say it, or it has come in meanwhile.
        SourceUnavailableError: a store did not answer.

    """
    found = _gathered(conflict)
    session = _agreed(found)
    if session is None:
        raise ResolutionRefusedError(_NOBODY)
    first = next(iter(found))
    versions = import_sessions(tiers, [session], source=first.source)
    if not versions:
        raise ResolutionRefusedError
    for adapter, reading in found.items():
        now = tiers.clock.now()
        records.remember(tiers.database.alias, adapter.source, [reading], versions, now)


def _gathered(conflict: SessionConflict) -> dict[LegacyAdapter, Reading]:
    """Return what each other store says; what cannot be read says nothing."""
    others = (
        each for each in get_adapters() if each.store.is_trusted and each.source != conflict.source
    )
    return gather(
        others,
        conflict.session_id,
        peek=lambda adapter, session_id: adapter.peek(session_id),
        leave_out=lambda _adapter, _reason: None,
    )


def _agreed(found: Mapping[LegacyAdapter, Reading]) -> SessionSnapshot | None:
    if not found:
        return None
    merged = together(found)
    return None if merged.is_blocked else merged.session

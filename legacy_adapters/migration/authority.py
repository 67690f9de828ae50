"""Which sessions the legacy store has the say of, for what writes our rows past the manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from legacy_adapters.migration import marks
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.migration.use import is_migrating

if TYPE_CHECKING:
    from collections.abc import Collection

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers

_MARKED: Final = f"SELECT session_id FROM {marks.TABLE} WHERE session_id = ANY(%s)"  # noqa: S608


def committed_stages(tiers: Tiers) -> StageView | None:
    """Return the stages as they are committed; None: the site does not follow them.

    They are not held still: whoever asks has locked rows already, and a stage change that waits for
    a writer of such a row would be waited for in turn.
    """
    return store.read(tiers.database) if is_migrating() else None


def led_by_legacy(tiers: Tiers, session_ids: Collection[str]) -> frozenset[str]:
    """Return which of these sessions, whose rows are locked, are written to legacy first."""
    view = committed_stages(tiers)
    if view is None:
        return frozenset()
    return frozenset(each for each in session_ids if view.first_side(each) is Side.LEGACY)


def waiting_for_repair(tiers: Tiers, session_ids: Collection[str]) -> frozenset[str]:
    """Return which of these sessions are marked, while the site follows the stages."""
    if not is_migrating():
        return frozenset()
    found = tiers.database.fetch(_MARKED, [sorted(session_ids)])
    return frozenset(session_id for (session_id,) in found)

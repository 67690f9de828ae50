"""What sweeps settle and purge, by statements of their own, is marked: repair tells the old shop.

Those sessions alone that are written to our side first. Of the others the legacy store has the say,
where a session past its end needs no word for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.signals import setting_changed

from legacy_adapters.migration import marks
from legacy_adapters.migration.authority import committed_stages
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.migration.use import is_migrating
from sessions_unified.signals import sessions_swept
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Collection

_UID: Final = "legacy_adapters.migration.settling"
# What is none of the endpoints writes the legacy store as long as any endpoint does.
_ENDPOINT: Final = "default"


def mark_swept(session_ids: Collection[str], **_: Any) -> None:
    """Mark what a sweep has changed, in its transaction."""
    tiers = get_tiers()
    view = committed_stages(tiers)
    if view is None:
        return
    behind = [
        each
        for each in session_ids
        if view.first_side(each) is Side.UNIFIED and view.stage_of(_ENDPOINT, each).writes_legacy
    ]
    marks.put_many(tiers.database, behind, Side.UNIFIED, tiers.clock.now())


def listen() -> None:
    """Listen to the sweeps while the site follows the stages; else they need not name what they do.

    Again after each change of the settings, for tests.
    """
    if is_migrating():
        sessions_swept.connect(mark_swept, dispatch_uid=_UID)
    else:
        sessions_swept.disconnect(dispatch_uid=_UID)


def _listen_again(*, setting: str, **_: object) -> None:
    if setting == "SESSIONS_UNIFIED":
        listen()


setting_changed.connect(_listen_again, dispatch_uid=_UID)

"""The two sides of a conflict as they are now, and why one of them may have nothing to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from legacy_adapters.conflicts.admitting import said_elsewhere
from legacy_adapters.conflicts.cases import FoundRecord, read_record
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.tables import rows
from sessions_unified.exceptions import SealedValueError
from sessions_unified.importing import is_taken
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from legacy_adapters.models import SessionConflict
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

_OUTSIDE: Final = (
    "The session is not here: its copies contradict each other, so it was not imported."
)
_COMES_IN: Final = "To keep ours imports it as its other copies say, and without this record."
_STAYS_OUT: Final = "No other store that can be read here says what it should be imported as."
_DELETED: Final = "The session was deleted, so there is nothing to write to."
_UNOPENED: Final = "The session cannot be opened: the key that sealed its card is missing."


@dataclass(frozen=True, kw_only=True)
class OurSide:
    """The session; ``is_outside``: never imported, and shown as it would come in."""

    session: SessionSnapshot | None
    version: int | None = None
    is_held: bool = False
    is_outside: bool = False
    problem: str = ""


def our_side(tiers: Tiers, conflict: SessionConflict) -> OurSide:
    """Read the session; one that was kept out as it would come in."""
    session_id = conflict.session_id
    try:
        row = tiers.database.row(session_id)
    except SealedValueError:
        live = rows(UnifiedSession).filter(pk=session_id, deleted_at=None)
        version = live.values_list("version", flat=True).first()
        return OurSide(session=None, version=version, problem=_UNOPENED)
    if row is not None:
        session = row.copy.session
        return OurSide(session=session, version=session.version, is_held=row.holds > 0)
    if is_taken(tiers, session_id):
        return OurSide(session=None, problem=_DELETED)
    try:
        elsewhere = said_elsewhere(conflict)
    except SourceUnavailableError as exc:
        return OurSide(session=None, is_outside=True, problem=f"{_OUTSIDE} {exc}")
    text = f"{_OUTSIDE} {_COMES_IN if elsewhere else _STAYS_OUT}"
    return OurSide(session=elsewhere, is_outside=True, problem=text)


def their_side(conflict: SessionConflict) -> FoundRecord:
    """Read the record; why it cannot be read is its problem."""
    try:
        return read_record(conflict)
    except SourceUnavailableError as exc:
        return FoundRecord(session=None, digest=conflict.digest, problem=str(exc))

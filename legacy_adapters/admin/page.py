"""A conflict's page: what the session says here, what the legacy record says, field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.admin.sides import OurSide, our_side, their_side
from legacy_adapters.admin.wording import noted_text, rule_text, value_text
from legacy_adapters.conflicts.takeable import obstacle
from legacy_adapters.merging.comparing import COMPARED
from sessions_unified.admin.side_by_side import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from legacy_adapters.conflicts.cases import FoundRecord
    from legacy_adapters.models import SessionConflict
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

_NOT_HERE: Final = "The session is not here yet."
_NOT_LIVE: Final = "Nothing is taken from a record that cannot be read now."


@dataclass(frozen=True, kw_only=True)
class Line:
    """One field.

    Attributes:
        rule: in a few words, how the contradiction was met; empty where there is none.
        blocks: nothing decided it.
        refusal: why the record's value may not be taken; empty where it may, or nothing differs.

    """

    field: str
    ours: str
    theirs: str
    differs: bool
    rule: str = ""
    blocks: bool = False
    refusal: str = ""

    @property
    def may_be_taken(self) -> bool:
        """Whether a box is offered."""
        return self.differs and not self.refusal


@dataclass(frozen=True, kw_only=True)
class ConflictPage:
    """What the template shows; everything is safe for its reader.

    Attributes:
        version: of the session as shown; None without a session.
        digest: of the record as shown.
        ours_problem: why nothing is shown of the session.
        theirs_problem: why the record was not read; what was noted with the conflict is shown.
        has_moved: the record is not the one that was noted with the conflict.
        is_held: a charge of the session is open.
        is_outside: the session was never imported; its side is what would come in.
        is_noted: what is shown was noted with the conflict: one side cannot be read now.
        comes_in: its other copies say what it would be imported as.

    """

    lines: tuple[Line, ...]
    version: int | None
    digest: str
    ours_problem: str
    theirs_problem: str
    has_moved: bool
    is_held: bool
    is_outside: bool
    is_noted: bool
    comes_in: bool

    @property
    def can_be_decided(self) -> bool:
        """Whether there is a session, or one that could come in; a tombstone is kept too."""
        return self.comes_in or not self.is_outside

    @property
    def has_choices(self) -> bool:
        """Whether anything may be taken."""
        return any(line.may_be_taken for line in self.lines)


def build_page(tiers: Tiers, conflict: SessionConflict, *, shows_pii: bool) -> ConflictPage:
    """Read both sides now; nothing is written by looking."""
    ours = our_side(tiers, conflict)
    found = their_side(conflict)
    notes = {each["field"]: each for each in conflict.evidence if "field" in each}
    names = _compared(conflict, ours.session, found)
    if ours.session is not None and found.session is not None:
        lines = _live(ours, found, names, notes, shows_pii=shows_pii)
    else:
        lines = _noted(ours.session, names, notes, shows_pii=shows_pii)
    return ConflictPage(
        lines=tuple(lines),
        version=ours.version,
        digest=found.digest,
        ours_problem=ours.problem,
        theirs_problem=found.problem,
        has_moved=found.digest != conflict.digest,
        is_held=ours.is_held,
        is_outside=ours.is_outside,
        is_noted=ours.session is None or found.session is None,
        comes_in=ours.is_outside and ours.session is not None,
    )


def _compared(
    conflict: SessionConflict, ours: SessionSnapshot | None, found: FoundRecord
) -> tuple[str, ...]:
    """Return what both sides have a place for; what is in conflict comes in any case."""
    if ours is None or found.session is None:
        return tuple(name for name in FIELDS if name in conflict.fields)
    wanted = {*conflict.fields, *(found.fields & frozenset(COMPARED))}
    return tuple(name for name in FIELDS if name in wanted)


def _live(
    ours: OurSide,
    found: FoundRecord,
    names: tuple[str, ...],
    notes: Mapping[str, Any],
    *,
    shows_pii: bool,
) -> Iterator[Line]:
    here, theirs = ours.session, found.session
    if here is None or theirs is None:
        return
    differing = found.differing(here)
    for name in names:
        differs = name in differing
        note = notes.get(name, {}) if differs else {}
        yield Line(
            field=name,
            ours=value_text(name, getattr(here, name), shows_pii=shows_pii),
            theirs=value_text(name, getattr(theirs, name), shows_pii=shows_pii),
            differs=differs,
            rule=rule_text(name) if note else "",
            blocks=bool(note.get("blocks")),
            refusal=_refusal(name, ours, theirs) if differs else "",
        )


def _refusal(name: str, ours: OurSide, theirs: SessionSnapshot) -> str:
    if ours.session is None or ours.is_outside:
        return _NOT_HERE
    return obstacle(name, ours.session, theirs, is_held=ours.is_held)


def _noted(
    ours: SessionSnapshot | None,
    names: tuple[str, ...],
    notes: Mapping[str, Any],
    *,
    shows_pii: bool,
) -> Iterator[Line]:
    """Yield what was noted with the conflict, redacted as it was then."""
    for name in names:
        note = notes.get(name, {})
        here = None if ours is None else value_text(name, getattr(ours, name), shows_pii=shows_pii)
        yield Line(
            field=name,
            ours=noted_text(note.get("unified")) if here is None else here,
            theirs=noted_text(note.get("legacy")),
            differs=True,
            rule=rule_text(name),
            blocks=bool(note.get("blocks")),
            refusal=_NOT_LIVE,
        )

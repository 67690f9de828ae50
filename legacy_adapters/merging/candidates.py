"""What goes into a merge, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from legacy_adapters.stores import Store
    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A session as one store has it."""

    store: Store
    session: SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A field on which stores contradict each other.

    Attributes:
        field: its name in the session.
        rule: the name of the rule that met the contradiction.
        values: what each store says; personal data as it is: redact it before it is kept.
        blocks: nothing decides it, so a person must, and the merge must not be written. Otherwise
            the rule decided, and the conflict is for the record.

    """

    field: str
    rule: str
    values: Mapping[Store, Any]
    blocks: bool


class Merged(NamedTuple):
    """The one session, and the contradictions that were met."""

    session: SessionSnapshot
    conflicts: tuple[Conflict, ...]

    @property
    def is_blocked(self) -> bool:
        """Whether a person must decide first."""
        return any(conflict.blocks for conflict in self.conflicts)

"""What a verification finds, and its sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What a comparison can say of one record."""

    AGREES = "agrees"
    TRANSIENT = "transient"
    """It differed, and a moment later it did not: a write was under way."""
    DECIDED = "decided"
    """It differs as a person has decided it may, for this very state of the record."""
    DIFFERS = "differs"
    MISSING = "missing"
    """The legacy store has it, and nobody here ever did."""
    DELETED = "deleted"
    """A tombstone here: it was deleted, and stays so."""
    UNREADABLE = "unreadable"
    """The record cannot become a session."""
    GONE = "gone"
    """A session here that came from the store, and that the store no longer has."""


DISAGREEMENTS: Final = (Kind.DIFFERS, Kind.MISSING, Kind.GONE)
"""What keeps the two sides from being the same."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one record, with nothing personal in it.

    Attributes:
        id: the session's; of an unreadable record its key, None where even that is missing.
        fields: the names of the fields that differ.
        evidence: a mapping a field: its values on both sides, redacted.
        reason: why it is unreadable.

    """

    id: str | None
    kind: Kind
    fields: tuple[str, ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "id": self.id,
            "kind": self.kind,
            "fields": list(self.fields),
            "evidence": [dict(each) for each in self.evidence],
            "reason": self.reason,
        }


@dataclass(kw_only=True)
class Report:
    """The sums of a verification. Every record read is counted once; the gone ones come beside.

    Attributes:
        shown: how many findings of each kind are kept.
        counts: kind → how many.
        findings: the first ``shown`` of each kind, but of those that agree.

    """

    shown: int
    counts: Counter[Kind] = field(default_factory=Counter)
    findings: dict[Kind, list[Finding]] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count it, and keep it if it is among the first."""
        self.counts[finding.kind] += 1
        if finding.kind is Kind.AGREES:
            return
        kept = self.findings.setdefault(finding.kind, [])
        if len(kept) < self.shown:
            kept.append(finding)

    @property
    def read(self) -> int:
        """How many records were read and judged."""
        return self.counts.total() - self.counts[Kind.GONE]

    @property
    def disagreements(self) -> int:
        """How many confirmed ones there are."""
        return sum(self.counts[kind] for kind in DISAGREEMENTS)

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "read": self.read,
            **{str(kind): self.counts[kind] for kind in Kind},
            "bothAgree": not self.disagreements,
            "findings": [each.as_json() for kept in self.findings.values() for each in kept],
        }

"""What a backfill found: every record that was read is counted once, and the odd ones are named."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

from django.db.models import Sum

from legacy_adapters.models import BackfillFinding, BackfillSlice
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from legacy_adapters.models import BackfillRun

MOST_FINDINGS: Final = 100_000
"""A backfill names so many, about; it goes on counting."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many records became what; ``masked`` ones are among the others too."""

    imported: int = 0
    unchanged: int = 0
    merged: int = 0
    conflicting: int = 0
    unreadable: int = 0
    masked: int = 0

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.imported + self.unchanged + self.merged + self.conflicting + self.unreadable

    @property
    def findings(self) -> int:
        """How many there are to be named."""
        return self.conflicting + self.unreadable + self.masked

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in KINDS})


KINDS: Final = tuple(each.name for each in fields(Tally))
NOTHING: Final = Tally()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A record that a person may want to know of. No personal data.

    Attributes:
        kind: of `BackfillFinding.Kind`.
        detail: the fields, or the reason.

    """

    kind: str
    id: str | None
    detail: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields in conflict, or those whose card data was masked."""
        return tuple(self.detail.split(", "))

    @property
    def reason(self) -> str:
        """Why the record is unreadable."""
        return self.detail


@dataclass(kw_only=True)
class Report:
    """What a backfill did; of the findings the first `MOST_FINDINGS`."""

    tally: Tally = NOTHING
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, run: BackfillRun, *, each: int | None = None) -> Self:
        """Return what a run has done until now, whoever did it; ``each``: findings of a kind."""
        report = cls(tally=tally_of(run))
        for kind in BackfillFinding.Kind:
            rows_of_kind = run.findings.filter(kind=kind).order_by("record_id", "pk")[:each]
            report.findings += [
                Finding(kind=kind.value, id=record_id, detail=detail)
                for record_id, detail in rows_of_kind.values_list("record_id", "detail")
            ]
        return report

    def add(self, tally: Tally, findings: Iterable[Finding]) -> None:
        """Count a batch."""
        self.tally += tally
        self.findings += list(findings)[: max(0, MOST_FINDINGS - len(self.findings))]

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.tally.read

    @property
    def imported(self) -> int:
        """How many became a session, or a newer state of theirs."""
        return self.tally.imported

    @property
    def unchanged(self) -> int:
        """How many said nothing new."""
        return self.tally.unchanged

    @property
    def merged(self) -> int:
        """How many went into a session that others have changed too."""
        return self.tally.merged

    @property
    def conflicts(self) -> list[Finding]:
        """Those that contradict their session."""
        return self._named("conflicting")

    @property
    def unreadable(self) -> list[Finding]:
        """Those that cannot become a session."""
        return self._named("unreadable")

    @property
    def masked(self) -> list[Finding]:
        """Those with card data, which is masked in the session."""
        return self._named("masked")

    def _named(self, kind: str) -> list[Finding]:
        return [each for each in self.findings if each.kind == kind]

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "read": self.read,
            "imported": self.imported,
            "unchanged": self.unchanged,
            "merged": self.merged,
            "conflicting": self.tally.conflicting,
            "unreadableCount": self.tally.unreadable,
            "masked": [{"id": each.id, "columns": list(each.fields)} for each in self.masked],
            "unreadable": [{"id": each.id, "reason": each.reason} for each in self.unreadable],
            "conflicts": [{"id": each.id, "fields": list(each.fields)} for each in self.conflicts],
        }


def tally_of(run: BackfillRun) -> Tally:
    """Return a run's counts until now."""
    sums = rows(BackfillSlice).filter(run=run).aggregate(**{name: Sum(name) for name in KINDS})
    return Tally(**{name: number or 0 for name, number in sums.items()})


def rows_per_second(run: BackfillRun, *, read: int, last_at: datetime | None) -> float | None:
    """Return a run's rate from its beginning to its last batch, at ``last_at``; None: not known.

    A pause in between counts as time, so that the rate is rather too low.
    """
    if run.started_at is None or last_at is None or last_at <= run.started_at:
        return None
    return read / (last_at - run.started_at).total_seconds()

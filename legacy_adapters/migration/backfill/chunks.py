"""Some records at once: mapped outside of the transaction, imported inside of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from django.db import transaction

from legacy_adapters.base import MASKED
from legacy_adapters.fields.reading import kept_of
from legacy_adapters.migration.backfill.reporting import NOTHING, Finding, Tally
from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.mapping import map_records
from legacy_adapters.migration.importing.refusals import REFUSALS, is_duplicate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from legacy_adapters.base import LegacyAdapter, LegacyRecord
    from legacy_adapters.migration.importing import meeting
    from legacy_adapters.migration.importing.records import Reading
    from sessions_unified.tiers import Tiers


@dataclass(kw_only=True)
class Outcome:
    """What became of a chunk."""

    tally: Tally = NOTHING
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str, number: int = 1) -> None:
        """Count records."""
        self.tally += Tally(**{kind: number})

    def name(self, finding: Finding) -> None:
        """Count a record, and name it."""
        self.count(finding.kind)
        self.findings.append(finding)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Records that are mapped; ``unreadable`` are those that could not be."""

    adapter: LegacyAdapter
    readings: tuple[Reading, ...]
    unreadable: tuple[Finding, ...]

    @classmethod
    def of(cls, adapter: LegacyAdapter, records: Sequence[LegacyRecord]) -> Self:
        """Map the records; an id that occurs again is unreadable."""
        readings, unreadable = map_records(adapter, records)
        return cls(
            adapter=adapter,
            readings=tuple(readings.values()),
            unreadable=tuple(_unreadable(*each) for each in unreadable),
        )

    def import_into(self, tiers: Tiers, *, is_dry_run: bool = False) -> Outcome:
        """Import them in one transaction, and say what became of them; a dry run undoes it."""
        found = Outcome()
        for finding in self.unreadable:
            found.name(finding)
        with transaction.atomic(using=tiers.database.alias):
            self._import(tiers, self.readings, found, is_dry_run=is_dry_run)
        return found

    def _import(
        self,
        tiers: Tiers,
        readings: Sequence[Reading],
        found: Outcome,
        *,
        is_dry_run: bool,
        is_again: bool = False,
    ) -> None:
        """Import them; if the database refuses a value, halve until it stands alone.

        What only another's commit made a duplicate is one that the next try sees.
        """
        if not readings:
            return
        try:
            outcomes = import_batch(
                tiers,
                readings,
                source=self.adapter.source,
                store=self.adapter.store,
                fields=self.adapter.fields,
                is_dry_run=is_dry_run,
            )
        except REFUSALS as exc:
            is_alone = len(readings) == 1
            if is_alone and (is_again or not is_duplicate(exc)):
                found.name(_unreadable(readings[0].id, _refusal(exc)))
                return
            middle = len(readings) // 2
            parts = (readings,) if is_alone else (readings[:middle], readings[middle:])
            for part in parts:
                self._import(tiers, part, found, is_dry_run=is_dry_run, is_again=is_alone)
        else:
            self._count(readings, outcomes, found)

    def _count(
        self,
        readings: Sequence[Reading],
        outcomes: Sequence[meeting.Outcome],
        found: Outcome,
    ) -> None:
        for kind, number in Counter(each.kind for each in outcomes).items():
            if kind != "conflicting":
                found.count(kind, number)
        for each in outcomes:
            if each.kind == "conflicting":
                detail = ", ".join(each.fields)
                found.name(Finding(kind="conflicting", id=each.id, detail=detail))
        for reading in readings:
            columns = kept_of(reading.session, self.adapter.store).get(MASKED)
            if columns:
                found.name(Finding(kind="masked", id=reading.id, detail=", ".join(columns)))


def _unreadable(record_id: str | None, reason: str) -> Finding:
    return Finding(kind="unreadable", id=record_id, detail=reason)


def _refusal(exc: BaseException) -> str:
    """Return why the database refused: never the whole message, which quotes the row."""
    diagnosis = getattr(exc.__cause__, "diag", None)
    detail = getattr(diagnosis, "message_primary", None) or type(exc).__name__
    return f"the database refuses a value of it: {detail}"

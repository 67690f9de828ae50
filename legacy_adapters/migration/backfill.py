"""The backfill: every record of a legacy store becomes a session, or a person learns why not.

One transaction a batch: sessions, their events, what was already paid, and the import records. A
killed run leaves whole batches; the next one finds them unchanged and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db import DataError, IntegrityError

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration.batches import Candidate, Outcome, import_batch
from sessions_unified.exceptions import InvalidChangeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from legacy_adapters.base import LegacyAdapter, LegacyRecord

# What a value that no column holds raises, on its way into the database.
_REFUSALS = (DataError, IntegrityError, InvalidChangeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A record that cannot become a session, and why; no personal data."""

    id: str | None
    reason: str


@dataclass(kw_only=True)
class Report:
    """What a backfill did: every record that was read is counted exactly once."""

    imported: int = 0
    unchanged: int = 0
    conflicts: list[Outcome] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.imported + self.unchanged + len(self.conflicts) + len(self.unreadable)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of a batch."""
        kinds = [outcome.kind for outcome in outcomes]
        self.imported += kinds.count("imported")
        self.unchanged += kinds.count("unchanged")
        self.conflicts += [outcome for outcome in outcomes if outcome.kind == "conflicting"]

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "read": self.read,
            "imported": self.imported,
            "unchanged": self.unchanged,
            "conflicting": len(self.conflicts),
            "unreadable": [{"id": each.id, "reason": each.reason} for each in self.unreadable],
            "conflicts": [{"id": each.id, "fields": list(each.fields)} for each in self.conflicts],
        }


def backfill(
    adapter: LegacyAdapter,
    *,
    batch_size: int = 500,
    limit: int | None = None,
    is_dry_run: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Report:
    """Import every record of the store, or the first ``limit`` of them; say what became of each.

    ``advance`` is told the number of records done after each batch. Repeating it is harmless.

    Raises:
        SourceUnavailableError: the store stopped answering; the batches before are imported.

    """
    report = Report()
    for batch in adapter.scan(batch_size=batch_size):
        left = None if limit is None else limit - report.read
        records = list(islice(batch.records, left))
        _import_records(adapter, records, report, is_dry_run=is_dry_run)
        advance(len(records))
        if limit is not None and report.read >= limit:
            break
    return report


def _import_records(
    adapter: LegacyAdapter, records: Sequence[LegacyRecord], report: Report, *, is_dry_run: bool
) -> None:
    candidates: dict[str, Candidate] = {}
    for record in records:
        try:
            session = adapter.to_unified(record)
        except UnreadableRecordError as exc:
            report.unreadable.append(Unreadable(id=record.id, reason=exc.reason))
            continue
        if session.id in candidates:
            report.unreadable.append(Unreadable(id=record.id, reason="id occurs more than once"))
            continue
        candidates[session.id] = Candidate(record=record, session=session)
    _import_candidates(adapter.source, list(candidates.values()), report, is_dry_run=is_dry_run)


def _import_candidates(
    source: str, candidates: Sequence[Candidate], report: Report, *, is_dry_run: bool
) -> None:
    """Import a batch; if the database refuses a value of it, record by record."""
    if not candidates:
        return
    try:
        report.add(import_batch(candidates, source=source, is_dry_run=is_dry_run))
    except _REFUSALS as exc:
        if len(candidates) == 1:
            refused = Unreadable(id=candidates[0].id, reason=_refusal(exc))
            report.unreadable.append(refused)
            return
        for candidate in candidates:
            _import_candidates(source, [candidate], report, is_dry_run=is_dry_run)


def _refusal(exc: BaseException) -> str:
    """Return why the database refused: never the whole message, which quotes the row."""
    cause = getattr(exc.__cause__, "diag", None)
    detail = getattr(cause, "message_primary", None) or type(exc).__name__
    return f"the database refuses a value of it: {detail}"

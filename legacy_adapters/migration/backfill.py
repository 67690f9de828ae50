"""The backfill: every record of a legacy store becomes a session, or a person learns why not.

One transaction a batch: sessions, their events, what was already paid, and the import records. A
killed run leaves whole batches; the next one finds them unchanged and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import DataError, IntegrityError

from legacy_adapters.base import MASKED
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration.batches import Candidate, Outcome, import_batch
from legacy_adapters.reading import kept_of
from sessions_unified.exceptions import InvalidChangeError
from sessions_unified.tiers import Tiers, get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from legacy_adapters.base import LegacyAdapter, LegacyRecord
    from sessions_unified.snapshot import SessionSnapshot

# What a value that no column holds raises, on its way into the database.
_REFUSALS = (DataError, IntegrityError, InvalidChangeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A record that cannot become a session, and why; no personal data."""

    id: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Masked:
    """A record with card data, which is masked in the session; where it was."""

    id: str
    columns: tuple[str, ...]


@dataclass(kw_only=True)
class Report:
    """What a backfill did: every record that was read is counted exactly once."""

    imported: int = 0
    unchanged: int = 0
    masked: list[Masked] = field(default_factory=list)
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
            "masked": [{"id": each.id, "columns": list(each.columns)} for each in self.masked],
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
    tiers: Tiers | None = None,
) -> Report:
    """Import every record of the store, or the first ``limit`` of them; say what became of each.

    ``advance`` is told the number of records done after each batch. Repeating it is harmless.

    Raises:
        SourceUnavailableError: the store stopped answering; the batches before are imported.
        DatabaseUnavailableError: the same, of the sessions' own database.

    """
    run = _Run(adapter=adapter, tiers=tiers or get_tiers(), is_dry_run=is_dry_run)
    for batch in adapter.scan(batch_size=batch_size):
        left = None if limit is None else limit - run.report.read
        records = batch.records[:left]
        run.import_records(records)
        advance(len(records))
        if run.report.read == limit:
            break
    return run.report


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One backfill under way."""

    adapter: LegacyAdapter
    tiers: Tiers
    is_dry_run: bool
    report: Report = field(default_factory=Report)

    def import_records(self, records: Sequence[LegacyRecord]) -> None:
        candidates: dict[str, Candidate] = {}
        for record in records:
            try:
                session = self.adapter.to_unified(record)
            except UnreadableRecordError as exc:
                self._give_up(record.id, exc.reason)
                continue
            if session.id in candidates:
                self._give_up(record.id, "id occurs more than once")
                continue
            candidates[session.id] = Candidate(record=record, session=session)
            self._note_masked(session)
        self._import(list(candidates.values()))

    def _import(self, candidates: Sequence[Candidate]) -> None:
        """Import a batch; if the database refuses a value of it, record by record."""
        if not candidates:
            return
        source = self.adapter.source
        try:
            self.report.add(
                import_batch(self.tiers, candidates, source=source, is_dry_run=self.is_dry_run)
            )
        except _REFUSALS as exc:
            if len(candidates) == 1:
                self._give_up(candidates[0].id, _refusal(exc))
                return
            for candidate in candidates:
                self._import([candidate])

    def _note_masked(self, session: SessionSnapshot) -> None:
        columns = kept_of(session, self.adapter.store).get(MASKED)
        if columns:
            self.report.masked.append(Masked(id=session.id, columns=tuple(columns)))

    def _give_up(self, record_id: str | None, reason: str) -> None:
        self.report.unreadable.append(Unreadable(id=record_id, reason=reason))


def _refusal(exc: BaseException) -> str:
    """Return why the database refused: never the whole message, which quotes the row."""
    diagnosis = getattr(exc.__cause__, "diag", None)
    detail = getattr(diagnosis, "message_primary", None) or type(exc).__name__
    return f"the database refuses a value of it: {detail}"

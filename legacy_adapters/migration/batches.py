"""One batch of a backfill in one transaction: import, notice what is known, never overwrite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from django.db import transaction

from legacy_adapters.migration.agreement import differing_fields
from legacy_adapters.models import ImportRecord, SessionConflict
from sessions_unified.importing import import_sessions, replace_imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from legacy_adapters.base import LegacyRecord
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

Kind = Literal["imported", "unchanged", "conflicting"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A legacy record and the session it describes."""

    record: LegacyRecord
    session: SessionSnapshot

    @property
    def id(self) -> str:
        """The id of both."""
        return self.session.id


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one record; ``fields`` are those in conflict."""

    id: str
    kind: Kind
    fields: tuple[str, ...] = ()


def import_batch(
    tiers: Tiers, candidates: Sequence[Candidate], *, source: str, is_dry_run: bool = False
) -> list[Outcome]:
    """Import records with different ids, all or none; a dry run undoes it again.

    Safe beside other backfills and shoppers: an id is inserted by one of them, and only a session
    that nobody has changed since its import is replaced (compare-and-set).
    """
    batch = _Batch(tiers=tiers, source=source)
    with transaction.atomic(using=batch.alias):
        outcomes = batch.run(candidates)
        if is_dry_run:
            transaction.set_rollback(True, using=batch.alias)
    return outcomes


class _Batch:
    """The steps of one batch, inside its transaction."""

    def __init__(self, *, tiers: Tiers, source: str) -> None:
        self._tiers = tiers
        self._source = source
        self._now: datetime = tiers.clock.now()
        self.alias = tiers.database.alias
        self._records = ImportRecord.objects.using(self.alias).filter(source=source)
        self._conflicts = SessionConflict.objects.using(self.alias).filter(source=source)

    def run(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        known = self._known(candidates)
        inserted = self._insert([each for each in candidates if each.id not in known])
        rest = [each for each in candidates if each.id not in inserted]
        # Again: another backfill may have inserted some of them a moment before us.
        known = self._known(rest)
        changed = [each for each in rest if not _is_known(each, known.get(each.id))]
        here = self._tiers.database.peek_many([each.id for each in changed])
        outcomes = {each.id: Outcome(id=each.id, kind="imported") for each in inserted.values()}
        for each in changed:
            copy = here.get(each.id)
            if copy is not None:  # none: a tombstone, which stays
                outcomes[each.id] = self._changed(each, known.get(each.id), copy.session)
        unchanged = (Outcome(id=each.id, kind="unchanged") for each in rest)
        return self._settled([*outcomes.values(), *(o for o in unchanged if o.id not in outcomes)])

    def _known(self, candidates: Iterable[Candidate]) -> dict[str, ImportRecord]:
        records = self._records.filter(session_id__in=[each.id for each in candidates])
        return {record.session_id: record for record in records}

    def _insert(self, candidates: Sequence[Candidate]) -> dict[str, Candidate]:
        sessions = [each.session for each in candidates]
        inserted = import_sessions(self._tiers, sessions, source=self._source)
        # Read again: what was past its end has been settled, at another version.
        stored = self._tiers.database.peek_many(inserted)
        mine = {each.id: each for each in candidates if each.id in inserted}
        self._records.bulk_create(
            self._record(each, stored[each.id].session.version) for each in mine.values()
        )
        return mine

    def _record(self, candidate: Candidate, version: int) -> ImportRecord:
        return ImportRecord(
            source=self._source,
            session_id=candidate.id,
            digest=candidate.record.digest,
            unified_version=version,
            imported_at=self._now,
        )

    def _changed(
        self, candidate: Candidate, record: ImportRecord | None, here: SessionSnapshot
    ) -> Outcome:
        """Decide on a session that exists and whose record is new or says something new."""
        if record is not None and record.unified_version == here.version:
            version = replace_imported(
                self._tiers, candidate.session, if_version=here.version, source=self._source
            )
            if version is not None:
                self._remember(candidate, version)
                return Outcome(id=candidate.id, kind="imported")
        fields = differing_fields(candidate.session, here, now=self._now)
        if not fields:
            self._remember(candidate, here.version)
            return Outcome(id=candidate.id, kind="unchanged")
        self._note_conflict(candidate, fields)
        return Outcome(id=candidate.id, kind="conflicting", fields=fields)

    def _remember(self, candidate: Candidate, version: int) -> None:
        fresh = {
            "digest": candidate.record.digest,
            "unified_version": version,
            "imported_at": self._now,
        }
        self._records.update_or_create(source=self._source, session_id=candidate.id, defaults=fresh)

    def _note_conflict(self, candidate: Candidate, fields: tuple[str, ...]) -> None:
        known = self._conflicts.filter(session_id=candidate.id).first()
        digest = candidate.record.digest
        if known is not None and (known.digest, known.fields) == (digest, list(fields)):
            return
        self._conflicts.update_or_create(
            source=self._source,
            session_id=candidate.id,
            defaults={"digest": digest, "fields": list(fields), "seen_at": self._now},
        )

    def _settled(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Forget the conflicts that are none any more."""
        agreed = [outcome.id for outcome in outcomes if outcome.kind != "conflicting"]
        self._conflicts.filter(session_id__in=agreed).delete()
        return outcomes


def _is_known(candidate: Candidate, record: ImportRecord | None) -> bool:
    return record is not None and record.digest == candidate.record.digest

"""A record that meets a session which is here: replace it, merge into it, or leave it to a person.

Of the import record only this is asked: at which version of the session it was written.

- The session is still there, and no other store had a part in it: the record replaces it, unless
  it is paid and the record names another payment now.
- The session is still there, and others had: it says what they said, and is merged with the record
  as the word of the best of them.
- The session has moved on: both changed. It stays, and what differs is a person's to decide.
- There is none: the session was made here, or came from another store. They are merged, our row
  as its own word or as that of the store it came from; not while a charge is open, which may yet
  change what the row says.

While the site follows the stages, a session that is written to the legacy store first is none of
these once it has changed here: that store has the say, and our row follows what it says now. One
that waits for its repair is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from legacy_adapters.conf import get_adapter, get_store
from legacy_adapters.conflicts import recording
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.merging import Candidate, evidence, merge
from legacy_adapters.merging.comparing import COMPARED, KEPT_ASIDE, differing
from legacy_adapters.migration import marks
from legacy_adapters.migration.authority import led_by_legacy, waiting_for_repair
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.records import MIXED
from legacy_adapters.migration.repair.following import copy_to_unified, read, remember
from legacy_adapters.migration.repair.payments import PaymentContradictedError, has_lost
from legacy_adapters.migration.sides.primary import primary_name
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.stores import Store
from sessions_unified.reimporting import (
    changed_fields,
    lock_sessions,
    merge_imported,
    replace_imported,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from legacy_adapters.migration.importing.records import Known, Reading
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import LockedRow

Kind = Literal["imported", "unchanged", "merged", "conflicting"]

ALL_FIELDS: Final = frozenset(COMPARED)
_PAYMENT: Final = "transaction_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one record; ``fields`` are those in conflict that a person must decide."""

    id: str
    kind: Kind
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Met:
    """A session that is here, and at which version each other source's record went into it."""

    row: LockedRow
    known: Known | None
    elsewhere: Mapping[str, int]

    @property
    def here(self) -> SessionSnapshot:
        return self.row.copy.session

    @property
    def is_as_imported(self) -> bool:
        """Whether nobody has changed it here since this source's record went in."""
        return self.known is not None and self.known.version == self.here.version

    @property
    def is_a_copy(self) -> bool:
        """Whether it says nothing but what legacy stores say."""
        return self.is_as_imported or self.here.version in self.elsewhere.values()

    @property
    def has_moved_on(self) -> bool:
        """Whether it was changed here after this source's record had gone in."""
        return self.known is not None and self.known.version not in {self.here.version, MIXED}


def _is_paid_otherwise(reading: Reading, met: _Met) -> bool:
    """Tell whether the record names another payment than it did, or none any more.

    The books hold the one that was imported; which of them is right, a person finds out.
    """
    return met.here.is_paid and reading.session.transaction_id != met.here.transaction_id


def _loses_nothing(reading: Reading, met: _Met) -> bool:
    """Tell whether a session that was changed here may be replaced by later states of the record.

    Not one that is paid, or being paid, here; nor one that holds what the record has no place for.
    """
    is_money = met.row.holds > 0 or met.here.is_paid
    return not is_money and not changed_fields(met.here, reading.session)


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """The records of one source, each beside its session, inside of the batch's transaction.

    Attributes:
        source: the legacy store's name, and ``store`` its kind.
        fields: those that its format has a place for: what can differ.

    """

    tiers: Tiers
    source: str
    store: Store
    fields: frozenset[str]

    def decide(self, readings: Sequence[Reading]) -> list[Outcome]:
        """Say what becomes of each, and do it. A tombstone stays one."""
        ids = [each.id for each in readings]
        rows = lock_sessions(self.tiers, ids)
        # Under the locks: another backfill may have been quicker by a moment.
        known = records.known(self._alias, self.source, ids)
        elsewhere = records.elsewhere(self._alias, self.source, ids)
        waiting, led = waiting_for_repair(self.tiers, ids), self._led(ids)
        outcomes = []
        for reading in readings:
            row, record = rows.get(reading.id), known.get(reading.id)
            is_known = record is not None and record.digest == reading.record.digest
            if row is None or is_known or reading.id in waiting:
                outcomes.append(Outcome(id=reading.id, kind="unchanged"))
                continue
            met = _Met(row=row, known=record, elsewhere=elsewhere.get(reading.id, {}))
            follows = reading.id in led and not met.is_as_imported
            outcomes.append((self._follow if follows else self._met)(reading, met))
        return outcomes

    def _led(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which sessions the record has the say of: the primary store's alone has it."""
        found = led_by_legacy(self.tiers, ids)
        return found if found and self.source == primary_name() else frozenset()

    @property
    def _now(self) -> datetime:
        return self.tiers.clock.now()

    @property
    def _alias(self) -> str:
        return self.tiers.database.alias

    def _met(self, reading: Reading, met: _Met) -> Outcome:
        if met.is_as_imported and not met.elsewhere:
            if _is_paid_otherwise(reading, met):
                return self._contradicted(reading, met, (_PAYMENT,))
            return self._replace(reading, met)
        fields = differing(
            reading.session,
            met.here,
            fields=self.fields | KEPT_ASIDE,
            now=self._now,
            store=self.store,
        )
        if not fields:
            may_follow = met.is_a_copy or _loses_nothing(reading, met)
            self._remember(reading, met.here.version if may_follow else MIXED)
            return Outcome(id=reading.id, kind="unchanged")
        if met.has_moved_on or (met.row.holds and not met.is_as_imported):
            return self._contradicted(reading, met, fields)
        return self._merge(reading, met)

    def _follow(self, reading: Reading, met: _Met) -> Outcome:
        """Copy what the record says now: the one that was scanned may be older than our row."""
        unchanged = Outcome(id=reading.id, kind="unchanged")
        primary = get_adapter(self.source)
        try:
            found = read(primary, reading.id)
            if found is None:
                return unchanged
            session = copy_to_unified(self.tiers, primary, found, met.row)
            remember(self.tiers, primary, found)
        except UnreadableRecordError:
            return unchanged
        except PaymentContradictedError:
            return self._contradicted(reading, met, (_PAYMENT,))
        if has_lost(found.session, session, is_held=met.row.holds > 0):
            marks.put_many(self.tiers.database, [reading.id], Side.UNIFIED, self._now)
        return unchanged if session is met.here else Outcome(id=reading.id, kind="merged")

    def _replace(self, reading: Reading, met: _Met) -> Outcome:
        version = replace_imported(
            self.tiers, reading.session, if_version=met.here.version, source=self.source
        )
        self._remember(reading, version)
        return Outcome(id=reading.id, kind="imported")

    def _merge(self, reading: Reading, met: _Met) -> Outcome:
        found = merge(
            [
                Candidate(store=self._standing(met), session=met.here),
                Candidate(store=self.store, session=reading.session),
            ]
        )
        self._record(reading, evidence.of_conflicts(found.conflicts))
        if found.is_blocked:
            blocking = (each.field for each in found.conflicts if each.blocks)
            return Outcome(id=reading.id, kind="conflicting", fields=tuple(dict.fromkeys(blocking)))
        if not changed_fields(met.here, found.session):
            self._remember(reading, met.here.version if met.is_a_copy else MIXED)
            return Outcome(id=reading.id, kind="unchanged")
        version = merge_imported(self.tiers, met.here, found.session, source=self.source)
        records.move(self._alias, reading.id, before=met.here.version, after=version)
        self._remember(reading, version if met.is_a_copy else MIXED)
        return Outcome(id=reading.id, kind="merged")

    def _standing(self, met: _Met) -> Store:
        """Return whose word our row is: our own, or that of the best store it was imported from.

        Where this record's store is the best, it is an older copy of that, and of others.
        """
        if not met.is_a_copy:
            return Store.UNIFIED
        stores = [get_store(each) for each in met.elsewhere]
        others = [each for each in stores if each is not None]
        if met.is_as_imported:
            others = [each for each in others if each.rank < self.store.rank]
        return min(others, key=lambda store: store.rank, default=Store.COPY)

    def _contradicted(self, reading: Reading, met: _Met, fields: tuple[str, ...]) -> Outcome:
        found = evidence.of_fields(
            fields, unified=met.here, legacy=reading.session, store=self.store
        )
        self._record(reading, found)
        return Outcome(id=reading.id, kind="conflicting", fields=fields)

    def _record(self, reading: Reading, found: list[dict[str, Any]]) -> None:
        finding = recording.Finding(
            session_id=reading.id, digest=reading.record.digest, evidence=found
        )
        if found:
            recording.record(
                source=self.source, findings=[finding], now=self._now, using=self._alias
            )

    def _remember(self, reading: Reading, version: int) -> None:
        records.remember(self._alias, self.source, [reading], {reading.id: version}, self._now)

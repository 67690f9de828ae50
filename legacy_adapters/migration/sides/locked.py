"""A session that lives in the legacy store, under its lock: what the money path reads and writes.

The legacy store's transaction is open beside ours. It commits first: if ours is lost then, the mark
stays, and repair brings our row up to what the legacy store says. Where a charge was opened or
paid, ours commits first, and repair goes the other way.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.records import Reading
from legacy_adapters.migration.repair.following import copy_to_unified, remember
from legacy_adapters.migration.repair.payments import (
    PaymentContradictedError,
    has_lost,
    is_contradicted,
    keeping_paid,
    lacks_charge,
)
from legacy_adapters.migration.sides.joining import UNMAPPED, joined
from legacy_adapters.migration.sides.primary import accepting
from sessions_unified.exceptions import (
    SessionExpiredError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.flow import COMPLETED, EXPIRED
from sessions_unified.importing import import_sessions
from sessions_unified.locking import LockedSession
from sessions_unified.reimporting import changed_fields
from sessions_unified.tiers import Copy
from sessions_unified.tiers.database import LockedRow

if TYPE_CHECKING:
    from legacy_adapters.migration.sides.old_stores import Found, OldStores
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import Change

logger = logging.getLogger(__name__)


class LegacyLockedSession(LockedSession):
    """Read, decide and write in the legacy store, and in our row as far as the stage says.

    Attributes:
        session: its present state in the legacy store, own writes included.
        has_paid: a payment was written, of the order or of an extra.

    """

    def __init__(
        self,
        *,
        tiers: Tiers,
        actor: str,
        stores: OldStores,
        found: Found,
        row: LockedRow | None,
        keeps_up: bool,
    ) -> None:
        session = joined(found.session, None if row is None else row.copy.session)
        copy = Copy(session, tiers.clock.now())
        super().__init__(
            tiers=tiers,
            actor=actor,
            row=row or LockedRow(copy=copy, holds=0, last_seen_at=None),
        )
        self.session = session
        self._version = session.version
        self._stores = stores
        self._found = found
        self._ours = None if row is None else row.copy.session
        self._keeps_up = keeps_up
        self._before = session
        self._has_held = self.has_paid = False

    @property
    def has_row(self) -> bool:
        """Whether there is a row of our own, which caches may hold."""
        return self._ours is not None

    @property
    def has_opened_charge(self) -> bool:
        """Whether a charge of the order was opened, so that nobody may check out meanwhile."""
        return self._has_held and lacks_charge(self._before, self.session)

    def check_alive(self) -> None:
        """Refuse a session past its end there, as the old code did; a held one is never past it.

        Raises:
            SessionExpiredError: with the session's last state.

        """
        session = self.session
        is_over = session.expires_at <= self._tiers.clock.now()
        is_held = self.holds and session.status != COMPLETED
        if session.status == EXPIRED or (is_over and not is_held):
            raise SessionExpiredError(session=session)

    def check_version(self, if_version: int | None) -> None:
        """Refuse a caller who has read another state; before any write.

        Whoever reads at `live` has our row's version. It is as good once that says the same as the
        legacy store, which `bring_in` has seen to: what was behind has another version by then.

        Raises:
            VersionConflictError: with neither version.

        """
        ours = None if self._ours is None else self._ours.version
        if if_version not in {None, self._version, ours}:
            raise VersionConflictError

    def hold(self) -> None:
        """Add a reason why the session may not be deleted, in our own row."""
        if self._ours is None:
            self.bring_in()
        super().hold()
        self._has_held = True

    def bring_in(self) -> None:
        """Have a row of our own that says what the legacy store does: for holds, events, payments.

        What the old code was paid is recorded by whoever receives `session_imported`, so that it
        is not charged here again.

        Raises:
            SessionNotFoundError: our database cannot hold it.

        """
        if self._ours is None:
            self._import()
        elif not self._follow():
            return
        row = self._tiers.database.row(self.session.id, for_update=True)
        if row is None:
            raise SessionNotFoundError
        self._row, self._ours, self.holds = row, row.copy.session, row.holds

    def _follow(self) -> bool:
        """Bring our row up to what the old code has written; tell whether it was behind."""
        found = self._found
        if found.record is None:
            return False
        reading = Reading(record=found.record, session=found.session)
        before = self._row.copy.session.version
        try:
            after = copy_to_unified(self._tiers, self._stores.primary, reading, self._row)
        except PaymentContradictedError:
            # Attempts decide what is charged here; a person is told by verify_sessions.
            logger.warning("Session %s names another payment than our row", self.session.id)
            return False
        if has_lost(found.session, after, is_held=self._row.holds > 0):
            # An old copy was written back there, or its last commit was lost.
            self._found = self._stores.save(after, before=found.record)
            self.session = joined(self._found.session, after)
        return after.version != before

    def _import(self) -> None:
        primary, found = self._stores.primary, self._found
        if found.record is None:
            import_sessions(self._tiers, [found.session], source=primary.source)
            return
        import_batch(
            self._tiers,
            [Reading(record=found.record, session=found.session)],
            source=primary.source,
            store=primary.store,
            fields=primary.fields,
        )

    def _write(self, after: SessionSnapshot, change: Change) -> SessionSnapshot:
        """Write the legacy store, then our row and its event."""
        before = self.session
        if "expires_at" not in change.changed:
            after = msgspec.structs.replace(after, expires_at=before.expires_at)
        if self._ours is None and (self._keeps_up or self._needs_row(change)):
            self.bring_in()
        self.has_paid |= has_lost(before, after)
        was_there = self._found.record is not None
        with accepting():
            self._found = self._stores.save(after, before=self._found.record)
        self._write_ours(after, change)
        if not was_there:
            self._note_that_it_is_there()
        self.session = joined(self._found.session, self._ours)
        self.is_changed = True
        return self.session

    def _note_that_it_is_there(self) -> None:
        """Remember that the table has it from now on: once it is gone there, it was deleted."""
        record, session = self._found.record, self._found.session
        if record is not None and self._ours is not None:
            remember(self._tiers, self._stores.primary, Reading(record=record, session=session))

    @staticmethod
    def _needs_row(change: Change) -> bool:
        """Tell whether there is something to write that the legacy store has no place for."""
        return bool(change.data) or not UNMAPPED.isdisjoint(change.changed)

    def _write_ours(self, after: SessionSnapshot, change: Change) -> None:
        """Bring our row, if there is one, up to the legacy store."""
        ours = self._ours
        if ours is None:
            return
        said = keeping_paid(joined(self._found.session, after), ours)
        if "transaction_id" not in change.changed and is_contradicted(said, ours):
            # Not of this change's making: it stays on both sides, for a person to see.
            said = msgspec.structs.replace(said, transaction_id=ours.transaction_id)
        wanted = msgspec.structs.replace(said, version=ours.version + 1)
        names = changed_fields(ours, wanted)
        if not self._tiers.database.compare_and_set(ours.version, wanted, change, names):
            raise VersionConflictError
        self._ours = wanted
        self.copy = Copy(wanted, change.at)

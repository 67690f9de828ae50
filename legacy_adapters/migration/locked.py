"""A session that lives in the legacy store, under its lock: what the money path reads and writes.

The legacy store's transaction is open beside ours. It commits first: if ours is lost then, the mark
stays, and repair brings our row up to what the legacy store says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.records import Reading
from legacy_adapters.migration.joining import UNMAPPED, joined
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
    from legacy_adapters.migration.old_stores import Found, OldStores
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import Change

_HELD_HERE: Final = UNMAPPED | {"upsells"}


class LegacyLockedSession(LockedSession):
    """Read, decide and write in the legacy store, and in our row as far as the stage says.

    Attributes:
        session: its present state in the legacy store, own writes included.

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
        self._stores = stores
        self._found = found
        self._ours = None if row is None else row.copy.session
        self._keeps_up = keeps_up

    @property
    def has_row(self) -> bool:
        """Whether there is a row of our own, which caches may hold."""
        return self._ours is not None

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

    def hold(self) -> None:
        """Add a reason why the session may not be deleted, in our own row."""
        self.bring_in()
        super().hold()

    def bring_in(self) -> None:
        """Have a row of our own: for holds, events, and what the legacy store cannot hold.

        What is paid there is recorded by whoever receives `session_imported`.

        Raises:
            SessionNotFoundError: our database cannot hold it.

        """
        if self._ours is not None:
            return
        database, found = self._tiers.database, self._found
        primary = self._stores.primary
        if found.record is None:
            import_sessions(self._tiers, [found.session], source=primary.source)
        else:
            import_batch(
                self._tiers,
                [Reading(record=found.record, session=found.session)],
                source=primary.source,
                store=primary.store,
                fields=primary.fields,
            )
        row = database.row(found.session.id, for_update=True)
        if row is None:
            raise SessionNotFoundError
        self._row, self._ours, self.holds = row, row.copy.session, row.holds

    def _write(self, after: SessionSnapshot, change: Change) -> SessionSnapshot:
        """Write the legacy store, then our row and its event."""
        before = self.session
        if "expires_at" not in change.changed:
            after = msgspec.structs.replace(after, expires_at=before.expires_at)
        if self._keeps_up or not _HELD_HERE.isdisjoint(change.changed) or change.data:
            self.bring_in()
        self._found = self._stores.save(after, before=self._found.record)
        self._write_ours(after, change)
        self.session = joined(self._found.session, self._ours)
        self.is_changed = True
        return self.session

    def _write_ours(self, after: SessionSnapshot, change: Change) -> None:
        """Bring our row up to the legacy store; at `off`, to what that cannot hold."""
        ours = self._ours
        if ours is None:
            return
        wanted = msgspec.structs.replace(
            joined(self._found.session, after),
            id=ours.id,
            version=ours.version + 1,
            updated_at=change.at,
        )
        names = changed_fields(ours, wanted)
        if not self._keeps_up:
            names = tuple(name for name in names if name in _HELD_HERE)
        written = {name: getattr(wanted, name) for name in names}
        stored = msgspec.structs.replace(
            ours,
            **written,
            version=wanted.version,
            updated_at=change.at,
            expires_at=wanted.expires_at,
        )
        if not self._tiers.database.compare_and_set(ours.version, stored, change, names):
            raise VersionConflictError
        self._ours = stored
        self.copy = Copy(stored, change.at)

"""Where a session is written first, and the one turn of writing it there.

The order of the locks, the same for whoever writes and repairs: the stages (shared), the session,
its mark, the legacy row.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from django.db import transaction

from legacy_adapters.migration import marks
from legacy_adapters.migration.parity.watching import note_write
from legacy_adapters.migration.sides.locked import LegacyLockedSession
from legacy_adapters.migration.sides.primary import OldShopUnavailableError
from legacy_adapters.migration.sides.reads import MigratingReads
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.migration.stages.pinning import pin_stages
from sessions_unified.exceptions import DatabaseUnavailableError, SessionNotFoundError
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.locking import LockedSession
    from sessions_unified.tiers.database import LockedRow

Answer = TypeVar("Answer")

_ATTEMPTS: Final = 5


class StartOverError(Exception):
    """The session's first side is not the one that was thought, and nothing was written yet.

    ``heals``: it is marked on the other side, and must be healed first.
    """

    def __init__(self, *, heals: bool = False) -> None:
        super().__init__()
        self.heals = heals


@dataclass(kw_only=True)
class Turn:
    """One write to the legacy side first.

    Attributes:
        row: our own locked row, if there is one.
        keeps_up: our row is brought up with the write.
        after: what is done after our commit.
        is_ours_first: our commit comes before the legacy store's, for once.
        is_left_to_repair: the legacy store's commit was lost then, and nobody waits for it.

    """

    row: LockedRow | None
    keeps_up: bool
    after: ExitStack
    is_ours_first: bool = False
    is_left_to_repair: bool = False

    def commit_after(self, legacy: ExitStack, *, must_be_there: bool) -> None:
        """Leave the legacy store's commit until ours is done; it is undone if ours fails.

        Where it need not be there at once, one that is lost is left to the next lock or to repair.
        """
        self.is_ours_first = True
        if not must_be_there:
            self.after.enter_context(self._leaving_it_to_repair())
        self.after.push(legacy)

    @contextmanager
    def _leaving_it_to_repair(self) -> Iterator[None]:
        try:
            yield
        except OldShopUnavailableError:
            self.is_left_to_repair = True


class FirstSide(MigratingReads):
    """The half of the migrating manager that finds a session's first side, and locks it there."""

    def _on_first_side(
        self,
        session_id: str,
        *,
        unified: Callable[[StageView], Answer],
        legacy: Callable[[StageView], Answer],
    ) -> Answer:
        """Write on the session's first side; start over where that is another one by now.

        A session that only the legacy stores know is imported before it is written here first.
        """
        has_imported = False
        for _ in range(_ATTEMPTS):
            view = self._view()
            is_unified = view.first_side(session_id) is Side.UNIFIED
            try:
                return unified(view) if is_unified else legacy(view)
            except StartOverError as exc:
                if exc.heals and not self._repair(session_id):
                    raise DatabaseUnavailableError from exc
                pin_stages(self._request, STAGES.refresh(self._tiers))
            except SessionNotFoundError:
                if not is_unified or has_imported or not self._imported(session_id):
                    raise
                has_imported = True
        message = "The migration's stages keep changing. Nothing was written. Try again."
        raise DatabaseUnavailableError(message)

    @contextmanager
    def _unified_first(self, session_id: str, *, durable: bool = False) -> Iterator[None]:
        """Run one transaction in which our row is written, with its mark; then repair the other."""
        database = self._tiers.database
        with database.transaction(durable=durable):
            view = store.share(database)
            if view.first_side(session_id) is not Side.UNIFIED:
                raise StartOverError
            # The session before its mark, as repair does: two never wait for each other both.
            database.lock(session_id)
            is_both = view.stage_of(self.endpoint, session_id).writes_legacy
            if is_both:
                now = self._tiers.clock.now()
                mark = marks.put(database, session_id, Side.UNIFIED, now)
                if mark.side is Side.LEGACY:
                    raise StartOverError(heals=True)
            yield
            if is_both:  # after what the write itself does then: the caches do not wait for it
                transaction.on_commit(partial(self._repair, session_id), using=database.alias)
        note_write(self.endpoint, view.stage_of(self.endpoint, session_id), session_id)

    @contextmanager
    def _legacy_first(self, session_id: str, *, durable: bool = False) -> Iterator[Turn]:
        """Run one transaction beside which the legacy store is written, under a mark of before.

        Nothing is marked at `off`: our row is not kept up there.
        """
        database = self._tiers.database
        keeps_up = self._view().stage_of(self.endpoint, session_id).writes_unified
        mine = None
        if keeps_up:
            self._refuse_outer_transaction()
            mine = marks.put(database, session_id, Side.LEGACY, self._tiers.clock.now())
        with ExitStack() as after, database.transaction(durable=durable):
            view = store.share(database)
            must_keep_up = view.stage_of(self.endpoint, session_id).writes_unified
            if view.first_side(session_id) is not Side.LEGACY or must_keep_up is not keeps_up:
                raise StartOverError
            row = database.lock(session_id)
            mark = marks.find(database, session_id, for_update=True)
            if mark is not None and mark.side is Side.UNIFIED:
                raise StartOverError(heals=True)
            if mark is None and keeps_up:
                raise StartOverError  # a worker was quicker: marked again, before it is written
            turn = Turn(row=row, keeps_up=keeps_up, after=after)
            yield turn
            if mine is not None and not turn.is_ours_first:
                # Its own, and not the mark of who waits for the session meanwhile.
                marks.clear(database, session_id, mine.generation)
        if mine is not None and turn.is_ours_first and not turn.is_left_to_repair:
            with suppress(DatabaseUnavailableError):  # then a worker does it
                marks.clear(database, session_id, mine.generation)
        note_write(self.endpoint, view.stage_of(self.endpoint, session_id), session_id)

    def _refuse_outer_transaction(self) -> None:
        """Refuse where the mark would not be committed before the legacy store is."""
        connection = self._thread.connection
        if connection.in_atomic_block and self._stores.primary.alias != connection.alias:
            raise transaction.TransactionManagementError(
                "A session that is written in the legacy store first cannot be written inside a "
                "transaction of its caller's: its mark would not be committed before."
            )

    def _may_go_unmarked(self, view: StageView) -> bool:
        """Tell whether the legacy store may be written while our database cannot be told.

        Not while a session of its side may have its newest state on the other, and not where it is
        the same database anyway. A full verify finds afterwards what was changed.
        """
        return self._is_elsewhere and Side.UNIFIED not in view.strays

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the legacy store commits by itself, and not with our transactions."""
        return self._stores.primary.alias != self._tiers.database.alias

    @contextmanager
    def _lock_unified(
        self, session_id: str, *, allow_expired: bool, durable: bool
    ) -> Iterator[LockedSession]:
        with (
            self._unified_first(session_id, durable=durable),
            super().lock_session(session_id, allow_expired=allow_expired) as locked,
        ):
            yield locked
        self._tell_parts(locked)

    @contextmanager
    def _lock_legacy(
        self,
        view: StageView,
        session_id: str,
        *,
        allow_expired: bool = False,
        durable: bool = False,
        brings_in: bool = False,
    ) -> Iterator[LegacyLockedSession]:
        self._note(session_id, "legacy")
        with self._legacy_first(session_id, durable=durable) as turn:
            with ExitStack() as legacy:
                legacy.enter_context(self._stores.holding(session_id))
                found = self._stores.find(session_id)
                if found is None or (turn.row is None and self._is_tombstone(session_id)):
                    raise SessionNotFoundError
                locked = LegacyLockedSession(
                    tiers=self._tiers,
                    actor=self.actor,
                    stores=self._stores,
                    found=found,
                    row=turn.row,
                    keeps_up=turn.keeps_up,
                )
                if brings_in or turn.row is not None:
                    locked.bring_in()  # what the old code was paid is on record before any write
                if not allow_expired:
                    locked.check_alive()
                yield locked
                if (locked.has_paid or locked.has_opened_charge) and self._is_elsewhere:
                    # What is charged is ours to prove: if the legacy store's commit is lost then,
                    # it is mended from our row; the other way round nobody could tell who paid.
                    # A charge that is opened goes on then; what it comes to is told once mended.
                    turn.commit_after(legacy.pop_all(), must_be_there=locked.has_paid)
            if locked.is_changed and locked.has_row:
                copy = locked.copy
                self._on_commit(lambda tiers: publish_copy(tiers, copy))
        self._tell_parts(locked)

    def _tell_parts(self, locked: LockedSession) -> None:
        """Write the cookie and the cache as the endpoint did, once the session is stored."""
        stage = self._view().stage_of(self.endpoint, locked.session.id)
        if locked.is_changed and stage.writes_legacy:
            self._stores.tell_parts(locked.session)

    def _is_tombstone(self, session_id: str) -> bool:
        rows = UnifiedSession.objects.using(self._tiers.database.alias).filter(pk=session_id)
        return rows.exists()

"""The manager of a shop that is being moved: each endpoint at its stage, one first side a session.

Reads are answered by the side that the endpoint's stage says (`reads`). Writes go to the session's
first side, whatever the endpoint, while the stages are held still, under a mark: committed before
the legacy store is written, and with the write where our own database comes first. Then repair
copies the state to the other side.

Nothing here is on any path once every endpoint is at ``complete``: then this makes the plain
manager.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from django.db import transaction

from legacy_adapters.migration import marks
from legacy_adapters.migration.joining import UNMAPPED, is_for_ours_alone, joined
from legacy_adapters.migration.locked import LegacyLockedSession
from legacy_adapters.migration.reads import MigratingReads, as_degraded
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.migration.stages.pinning import pin_stages, seen_stages
from sessions_unified import changes as changing
from sessions_unified.conf import get_conf
from sessions_unified.creating import first_state
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidChangeError,
    SessionHeldError,
    SessionNotFoundError,
)
from sessions_unified.flow import get_flow
from sessions_unified.ids import mint_session_id
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_copy, publish_gone
from sessions_unified.signals import session_deleted
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.locking import LockedSession
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import LockedRow

Answer = TypeVar("Answer")

_ATTEMPTS: Final = 5


class _StartOverError(Exception):
    """The session's first side is not the one that was thought, and nothing was written yet.

    ``heals``: it is marked on the other side, and must be healed first.
    """

    def __init__(self, *, heals: bool = False) -> None:
        super().__init__()
        self.heals = heals


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """One write to the legacy side first.

    Attributes:
        row: our own locked row, if there is one.
        keeps_up: our row is brought up with the write.
        generation: that of the session's mark; None: it has none, as at `off`.

    """

    row: LockedRow | None
    keeps_up: bool
    generation: int | None


class MigratingSessionManager(MigratingReads):
    """`UnifiedSessionManager`'s interface over both sides."""

    def __new__(  # type: ignore[misc]
        cls,
        *,
        endpoint: str = "default",
        request: HttpRequest | None = None,
        tiers: Tiers | None = None,
    ) -> UnifiedSessionManager:
        """Return the plain manager once nothing of the old world is in use."""
        if seen_stages(tiers or get_tiers(), request).is_complete:
            return UnifiedSessionManager(endpoint=endpoint, request=request, tiers=tiers)
        return super().__new__(cls)

    def create_session(self, **given: Any) -> SessionSnapshot:
        """Store a new session; its id, minted first, decides on which side."""
        now = self._tiers.clock.now()
        session_id = given.pop("session_id", None) or mint_session_id(int(now.timestamp() * 1000))

        def unified(_: StageView) -> SessionSnapshot:
            with self._unified_first(session_id):
                return UnifiedSessionManager.create_session(self, session_id=session_id, **given)

        def legacy(view: StageView) -> SessionSnapshot:
            return self._create_legacy(view, _first_state(given, session_id=session_id, now=now))

        return self._on_first_side(session_id, unified=unified, legacy=legacy)

    def update_session(
        self,
        session_id: str,
        changes: Mapping[str, Any],
        *,
        if_version: int | None = None,
        kind: str = "session_updated",
    ) -> SessionSnapshot:
        """Change only the named fields, on the session's first side; see the plain manager's."""
        fields = changing.coerce(changes)

        def unified(_: StageView) -> SessionSnapshot:
            with self._unified_first(session_id):
                return UnifiedSessionManager.update_session(
                    self, session_id, changes, if_version=if_version, kind=kind
                )

        def legacy(view: StageView) -> SessionSnapshot:
            with ExitStack() as stack:
                try:
                    locked = stack.enter_context(self._lock_legacy(view, session_id))
                except DatabaseUnavailableError:
                    if not self._may_go_unmarked(view):
                        raise
                    return self._update_unmarked(session_id, fields, if_version)
                self._check_version(locked.session, if_version)
                return locked.update(fields, kind=kind)

        return self._on_first_side(session_id, unified=unified, legacy=legacy)

    def delete_session(self, session_id: str, *, if_version: int | None = None) -> None:
        """Delete the session on both sides, for good; see the plain manager's."""

        def unified(_: StageView) -> None:
            with self._unified_first(session_id):
                UnifiedSessionManager.delete_session(self, session_id, if_version=if_version)
            self._stores.forget_parts(session_id)

        def legacy(view: StageView) -> None:
            self._delete_legacy(view, session_id, if_version)

        self._on_first_side(session_id, unified=unified, legacy=legacy)

    @contextmanager
    def lock_session(
        self, session_id: str, *, allow_expired: bool = False, durable: bool = False
    ) -> Iterator[LockedSession]:
        """Run one short transaction with the session locked on its first side."""
        with ExitStack() as stack:

            def unified(_: StageView) -> LockedSession:
                return stack.enter_context(
                    self._lock_unified(session_id, allow_expired=allow_expired, durable=durable)
                )

            def legacy(view: StageView) -> LockedSession:
                locked = self._lock_legacy(
                    view,
                    session_id,
                    allow_expired=allow_expired,
                    durable=durable,
                    brings_in=True,
                )
                return stack.enter_context(locked)

            yield self._on_first_side(session_id, unified=unified, legacy=legacy)

    # The first side

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
            except _StartOverError as exc:
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
                raise _StartOverError
            # The session before its mark, as repair does: two never wait for each other both.
            database.lock(session_id)
            if view.stage_of(self.endpoint, session_id).writes_legacy:
                now = self._tiers.clock.now()
                mark = marks.put(database, session_id, Side.UNIFIED, now)
                if mark.side is Side.LEGACY:
                    raise _StartOverError(heals=True)
                mend = partial(self._repair, session_id)
                transaction.on_commit(mend, using=database.alias)
            yield

    @contextmanager
    def _legacy_first(self, session_id: str, *, durable: bool = False) -> Iterator[_Turn]:
        """Run one transaction beside which the legacy store is written, under a mark of before.

        Nothing is marked at `off`: our row is not kept up there.
        """
        database = self._tiers.database
        keeps_up = self._view().stage_of(self.endpoint, session_id).writes_unified
        if keeps_up:
            self._refuse_outer_transaction()
            marks.put(database, session_id, Side.LEGACY, self._tiers.clock.now())
        with database.transaction(durable=durable):
            view = store.share(database)
            must_keep_up = view.stage_of(self.endpoint, session_id).writes_unified
            if view.first_side(session_id) is not Side.LEGACY or must_keep_up is not keeps_up:
                raise _StartOverError
            row = database.lock(session_id)
            mark = marks.find(database, session_id, for_update=True)
            if mark is not None and mark.side is Side.UNIFIED:
                raise _StartOverError(heals=True)
            if mark is None and keeps_up:
                raise _StartOverError  # a worker was quicker: marked again, before it is written
            generation = None if mark is None else mark.generation
            yield _Turn(row=row, keeps_up=keeps_up, generation=generation)
            if mark is not None and keeps_up:
                marks.clear(database, session_id, mark.generation)

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
        is_elsewhere = self._stores.primary.alias != self._tiers.database.alias
        return is_elsewhere and Side.UNIFIED not in view.strays

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
            with self._stores.holding(session_id):
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
                if brings_in:
                    locked.bring_in()
                if not allow_expired:
                    locked.check_alive()
                yield locked
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

    # Writes to the legacy store

    def _create_legacy(self, view: StageView, session: SessionSnapshot) -> SessionSnapshot:
        self._note(session.id, "legacy")
        is_ours = is_for_ours_alone(session, currency=get_conf().DEFAULT_CURRENCY)
        with ExitStack() as stack:
            try:
                turn = stack.enter_context(self._legacy_first(session.id))
            except DatabaseUnavailableError:
                if is_ours or not self._may_go_unmarked(view):
                    raise
                return self._create_unmarked(session)
            if turn.row is not None or self._is_tombstone(session.id):
                raise _id_is_taken()
            return self._insert(session, has_row=turn.keeps_up or is_ours)

    def _insert(self, session: SessionSnapshot, *, has_row: bool) -> SessionSnapshot:
        with self._stores.holding(session.id):
            if self._stores.find(session.id) is not None:
                raise _id_is_taken()
            found = self._stores.save(session, before=None)
            if not has_row:
                return joined(found.session, None)
            ours = msgspec.structs.replace(session, expires_at=found.session.expires_at)
            change = Change(kind="session_created", actor=self.actor, at=session.created_at)
            self._tiers.database.insert(ours, change)
            return joined(found.session, ours)

    def _create_unmarked(self, session: SessionSnapshot) -> SessionSnapshot:
        self._reader.degrade("database")
        with self._stores.holding(session.id):
            if self._stores.find(session.id) is not None:
                raise _id_is_taken()
            found = self._stores.save(session, before=None)
        return as_degraded(joined(found.session, None))

    def _update_unmarked(
        self, session_id: str, fields: Mapping[str, Any], if_version: int | None
    ) -> SessionSnapshot:
        """Change a session in the legacy store alone, while our database does not answer."""
        if not UNMAPPED.isdisjoint(fields):
            raise DatabaseUnavailableError
        self._reader.degrade("database")
        with self._stores.holding(session_id):
            found = self._stores.find(session_id)
            if found is None:
                raise SessionNotFoundError
            before = as_degraded(joined(found.session, None))
            self._check_version(before, if_version)
            self._check_end(before)
            now = self._tiers.clock.now()
            after, changed = changing.apply(before, fields, flow=get_flow(), now=now)
            if not changed:
                return before
            after = msgspec.structs.replace(after, expires_at=before.expires_at)
            stored = self._stores.save(after, before=found.record)
        return as_degraded(joined(stored.session, None))

    def _delete_legacy(self, view: StageView, session_id: str, if_version: int | None) -> None:
        locking = self._lock_legacy(view, session_id, allow_expired=True, brings_in=True)
        with locking as locked:
            self._check_version(locked.session, if_version)
            if locked.holds:
                raise SessionHeldError
            self._stores.delete(session_id)
            change = Change(kind="session_deleted", actor=self.actor, at=self._tiers.clock.now())
            version = self._tiers.database.tombstone(session_id, change)
            if version is None:
                raise SessionHeldError
            session_deleted.send(sender=UnifiedSession, session_ids=[session_id])
            self._on_commit(lambda tiers: publish_gone(tiers, {session_id: version}))


def _first_state(given: Mapping[str, Any], **at: Any) -> SessionSnapshot:
    """Return a new session as the plain manager makes it."""
    customer = given.get("customer")
    fields = {
        "email": given.get("email"),
        "customer": None if customer is None else dict(customer),
        "products": given.get("products", ()),
        "amount": given.get("amount"),
        "currency": given.get("currency") or get_conf().DEFAULT_CURRENCY,
        "metadata": dict(given.get("metadata") or {}),
    }
    return first_state(fields, **at)


def _id_is_taken() -> InvalidChangeError:
    return InvalidChangeError("This session id is taken.", field="id")

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
from typing import TYPE_CHECKING, Any

import msgspec

from legacy_adapters.migration.sides.first_side import FirstSide
from legacy_adapters.migration.sides.joining import (
    UNMAPPED,
    find_annex,
    is_for_ours_alone,
    joined,
)
from legacy_adapters.migration.sides.primary import OldShopUnavailableError, accepting
from legacy_adapters.migration.sides.reads import as_degraded
from legacy_adapters.migration.stages.pinning import seen_stages
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
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_deleted
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.database import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.http import HttpRequest

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.locking import LockedSession
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers


class MigratingSessionManager(FirstSide):
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
            if not UNMAPPED.isdisjoint(fields):
                self._bring_in(view, session_id)
            with ExitStack() as stack:
                try:
                    locked = stack.enter_context(self._lock_legacy(view, session_id))
                except OldShopUnavailableError:
                    raise
                except DatabaseUnavailableError:
                    if not self._may_go_unmarked(view):
                        raise
                    return self._update_unmarked(session_id, fields, if_version)
                locked.check_version(if_version)
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
        with self._stores.holding(session.id), accepting():
            if self._stores.find(session.id) is not None:
                raise _id_is_taken()
            found = self._stores.save(session, before=None)
            if not has_row:
                return joined(found.session, None)
            times = {name: getattr(found.session, name) for name in ("updated_at", "expires_at")}
            ours = msgspec.structs.replace(session, **times)
            change = Change(kind="session_created", actor=self.actor, at=session.created_at)
            self._tiers.database.insert(ours, change)
            return joined(found.session, ours)

    def _bring_in(self, view: StageView, session_id: str) -> None:
        """Have a row of our own, and committed, before something is written that it alone holds.

        Else whoever reads between the two commits would take the store's new version for one
        without it.
        """
        if find_annex(self._tiers.database, session_id).session is None:
            with self._lock_legacy(view, session_id, allow_expired=True, brings_in=True):
                pass

    def _create_unmarked(self, session: SessionSnapshot) -> SessionSnapshot:
        self._reader.degrade("database")
        with self._stores.holding(session.id), accepting():
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
        with self._stores.holding(session_id), accepting():
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
            locked.check_version(if_version)
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

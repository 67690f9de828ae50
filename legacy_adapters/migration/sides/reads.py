"""Reads of a shop that is being moved: by the side that the stage says, healed first."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from legacy_adapters.contact import import_on_contact
from legacy_adapters.copies import legacy_copies
from legacy_adapters.migration import marks
from legacy_adapters.migration.parity.watching import note_read
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.sides.joining import APART, Annex, find_annex, joined
from legacy_adapters.migration.sides.old_stores import OldStores
from legacy_adapters.migration.sides.primary import answering
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.migration.stages.pinning import seen_stages
from sessions_unified import health
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionExpiredError,
    SessionNotFoundError,
)
from sessions_unified.flow import COMPLETED, EXPIRED
from sessions_unified.manager import UnifiedSessionManager

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.health import SessionHealth
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)


class MigratingReads(UnifiedSessionManager):
    """The reading half of the migrating manager."""

    def __init__(
        self,
        *,
        endpoint: str = "default",
        request: HttpRequest | None = None,
        tiers: Tiers | None = None,
    ) -> None:
        super().__init__(endpoint=endpoint, request=request, tiers=tiers)
        self._stores = OldStores(endpoint, request)

    def get_session(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        """Return the session from the side that the endpoint's stage says; see the plain manager's.

        One that is read from the legacy store has its ``updated_at`` in µs as its version.
        """
        view = self._view()
        stage = view.stage_of(self.endpoint, session_id)
        began, failed = time.monotonic(), True
        try:
            session = self._read(view, stage, session_id, fresh=fresh)
            failed = False
        except (SessionNotFoundError, SessionExpiredError):
            failed = False
            raise
        finally:
            seconds = time.monotonic() - began
            note_read(self.endpoint, stage, session_id, seconds=seconds, failed=failed)
        if self._request is not None:
            self._stores.mend(session, view)
        return session

    def get_sessions(self, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
        """Return the sessions that exist and are alive, by id.

        One round trip a tier where all are at home on the unified side; else one after the other,
        as those are that only legacy stores know.
        """
        view, wanted = self._view(), list(dict.fromkeys(session_ids))
        found = self._at_once(view, wanted) if self._are_at_home(view, wanted) else {}
        for session_id in wanted:
            if session_id not in found:
                with suppress(SessionNotFoundError, SessionExpiredError):
                    found[session_id] = self.get_session(session_id)
        return {each: found[each] for each in wanted if each in found}

    def _are_at_home(self, view: StageView, session_ids: Iterable[str]) -> bool:
        """Tell whether our side answers for all of these, and no mark can say otherwise."""
        return Side.LEGACY not in view.strays and all(
            view.first_side(each) is Side.UNIFIED for each in session_ids
        )

    def _at_once(self, view: StageView, session_ids: list[str]) -> dict[str, SessionSnapshot]:
        """Return those that our side has; each counts for its part of the time."""
        began = time.monotonic()
        found = super().get_sessions(session_ids)
        seconds = (time.monotonic() - began) / max(len(found), 1)
        for session_id, session in found.items():
            stage = view.stage_of(self.endpoint, session_id)
            note_read(self.endpoint, stage, session_id, seconds=seconds)
            if self._request is not None:
                self._stores.mend(session, view)
        return found

    def validate_session(self, session_id: str) -> SessionHealth:
        """Report on the session in all tiers, and in the legacy stores that can be read here.

        One that only the legacy stores know is imported for it.
        """
        if find_annex(self._tiers.database, session_id).session is None:
            self._imported(session_id)
        self._note(session_id, "database")
        others = tuple(legacy_copies(session_id))
        return health.examine(self._tiers, session_id, others=others)

    def touch_session(self, session_id: str) -> None:
        """Note that the shopper was seen, on the unified side; the old shop noted nothing."""
        if self._view().stage_of(self.endpoint, session_id).writes_unified:
            super().touch_session(session_id)

    def drop_copies(self, session_id: str) -> bool:
        """Drop the session from the caches, which hold none that only the legacy store has."""
        try:
            return super().drop_copies(session_id)
        except SessionNotFoundError:
            if self._stores.find(session_id) is None:
                raise
            return True

    def _view(self) -> StageView:
        """Return the stages as this request has seen them: a session keeps its side within it."""
        return seen_stages(self._tiers, self._request)

    def _read(
        self, view: StageView, stage: Stage, session_id: str, *, fresh: bool
    ) -> SessionSnapshot:
        if stage.reads is Side.LEGACY:
            return self._read_legacy(view, session_id, fresh=fresh)
        is_safe = view.first_side(session_id) is Side.UNIFIED and Side.LEGACY not in view.strays
        if not is_safe and not self._is_up(session_id, Side.UNIFIED):
            return self._read_legacy(view, session_id, fresh=fresh, heals=False)
        try:
            return super().get_session(session_id, fresh=fresh)
        except SessionNotFoundError:
            if not self._imported(session_id):
                raise
        return super().get_session(session_id, fresh=True)

    def _imported(self, session_id: str) -> bool:
        """Import a session that only legacy stores know; tell whether it is here now."""
        with answering():
            return import_on_contact(session_id, self._request) is not None

    def _is_up(self, session_id: str, side: Side) -> bool:
        """Tell whether a side has the session's newest state, after healing it where it has not."""
        try:
            mark = marks.find(self._tiers.database, session_id)
        except DatabaseUnavailableError:
            return True  # as far as can be told; the caches may answer, the database cannot
        return mark is None or mark.side is side or self._repair(session_id)

    def _repair(self, session_id: str) -> bool:
        """Repair at once; tell whether both sides agree. What fails is left for a worker."""
        try:
            repair(self._tiers, session_id)
        except Exception as exc:  # noqa: BLE001  (what was to be written first is written)
            logger.warning("Session %s is left for repair: %s", session_id, type(exc).__name__)
            return False
        return True

    def _read_legacy(
        self, view: StageView, session_id: str, *, fresh: bool, heals: bool = True
    ) -> SessionSnapshot:
        annex = self._annex(view, session_id)
        if annex is not None and annex.is_deleted:
            raise SessionNotFoundError
        if heals and annex is not None and annex.marked is Side.UNIFIED:
            if not self._repair(session_id):
                return super().get_session(session_id, fresh=fresh)
            annex = find_annex(self._tiers.database, session_id)
        self._note(session_id, "legacy")
        found = self._stores.find(session_id)
        if found is None:
            raise SessionNotFoundError
        session = joined(found.session, None if annex is None else annex.session)
        if annex is None:
            session = as_degraded(session)
        self._check_end(session)
        return session

    def _annex(self, view: StageView, session_id: str) -> Annex | None:
        """Return what our database has of it; None: it does not answer, and can be done without.

        It cannot while a session of the legacy side may have its newest state on the other.
        """
        try:
            return find_annex(self._tiers.database, session_id)
        except DatabaseUnavailableError:
            if Side.UNIFIED in view.strays:
                raise
            self._reader.degrade("database")
            return None

    def _check_end(self, session: SessionSnapshot) -> None:
        """Judge a session of the legacy store by its own end, as the old code did."""
        if session.status == EXPIRED:
            raise SessionExpiredError(session=session)
        if session.expires_at <= self._tiers.clock.now() and not self._is_held(session):
            self._stores.meet_end(session.id)
            raise SessionExpiredError(session=session)

    def _is_held(self, session: SessionSnapshot) -> bool:
        """Tell whether a charge of it is open: then it is not over yet, and nobody says it is."""
        if session.status == COMPLETED:
            return False
        with suppress(DatabaseUnavailableError):
            row = self._tiers.database.row(session.id)
            return row is not None and row.holds > 0
        return False


def as_degraded(session: SessionSnapshot) -> SessionSnapshot:
    """Return a session without what our row holds, at a version that no whole one has.

    What is changed on its ground while our database is away must not be taken for a change of the
    whole session once that is back.
    """
    return msgspec.structs.replace(session, version=session.version + 2 * APART)

"""A visit: the session that this browser holds, and the one page that is its page now.

Every view asks here first; no view decides by itself where a shopper belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.http import HttpResponseRedirect
from django.urls import reverse

from funnel import flow
from funnel.catalog import offers_at
from sessions_unified import get_manager
from sessions_unified.cookies import clear_cookie, session_id_from_cookie
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidTransitionError,
    SessionExpiredError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

ACTOR: Final = "shopper"
_SEE_OTHER: Final = 303


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request of a shopper.

    Attributes:
        manager: the request's.
        session: the session of the browser's cookie, its last state if it has ended; None without
            one.
        has_ended: it is past its end.
        is_gone: the cookie names a session that was deleted.

    """

    manager: UnifiedSessionManager
    session: SessionSnapshot | None = None
    has_ended: bool = False
    is_gone: bool = False

    @property
    def url(self) -> str:
        """The page that this shopper sees now."""
        if self.session is None:
            return reverse("storefront:shop")
        return flow.START_AGAIN if self.has_ended else flow.next_for(self.session).url

    def session_at(self, request: HttpRequest) -> SessionSnapshot | None:
        """Return the session if the requested page is its page now; else None: redirect."""
        return self.session if self.url == request.path_info else None

    def redirect(self) -> HttpResponse:
        """Lead the shopper to the page that is theirs."""
        response = see_other(self.url)
        if self.is_gone:
            clear_cookie(response)
        return response


def see_other(url: str) -> HttpResponse:
    """Redirect so that the browser GETs ``url``, whatever it did here."""
    response = HttpResponseRedirect(url)
    response.status_code = _SEE_OTHER
    return response


def manager_for(request: HttpRequest, endpoint: str) -> UnifiedSessionManager:
    """Return the request's manager, acting for the shopper."""
    manager = get_manager(endpoint, request)
    manager.actor = ACTOR
    return manager


def open_visit(request: HttpRequest, endpoint: str = "session.detail") -> Visit:
    """Return the visit of the browser's cookie.

    Raises:
        DatabaseUnavailableError: no tier could answer.

    """
    manager = manager_for(request, endpoint)
    session_id = session_id_from_cookie(request)
    return Visit(manager=manager) if session_id is None else visit_session(manager, session_id)


def visit_session(manager: UnifiedSessionManager, session_id: str) -> Visit:
    """Return the visit of a session: read, noted as seen, and led on from steps that are over.

    Raises:
        DatabaseUnavailableError: no tier could answer.

    """
    try:
        session = _read(manager, session_id)
    except SessionExpiredError as exc:
        return Visit(manager=manager, session=exc.session, has_ended=True)
    except SessionNotFoundError:
        return Visit(manager=manager, is_gone=True)
    manager.touch_session(session.id)
    return Visit(manager=manager, session=_led_on(manager, session))


def _read(manager: UnifiedSessionManager, session_id: str) -> SessionSnapshot:
    """Read the row: the page after a payment must not be the page before it.

    A cached copy serves while the database is down; what its page sends is judged by the row.
    """
    try:
        return manager.get_session(session_id, fresh=True)
    except DatabaseUnavailableError:
        session = manager.get_session(session_id)
        manager.degraded.add("database")
        return session


def _led_on(manager: UnifiedSessionManager, session: SessionSnapshot) -> SessionSnapshot:
    """Move an imported session on from steps that are over, as far as they go."""
    for _ in get_flow().steps:
        changes = _move_due(session)
        if changes is None or "database" in manager.degraded:
            break
        try:
            session = manager.update_session(session.id, changes, if_version=session.version)
        except (VersionConflictError, InvalidTransitionError):
            session = manager.get_session(session.id, fresh=True)
    return session


def _move_due(session: SessionSnapshot) -> Mapping[str, str] | None:
    """Return the changes that lead on from a step with nothing left to do; None if there is.

    That is: a paid order still before the extras; extras answered already, or that no stored
    card could pay for.
    """
    if not session.is_paid or session.status in {COMPLETED, EXPIRED}:
        return None
    step = session.current_step
    is_at_extras = bool(offers_at(step))
    is_before_extras = 0 <= get_flow().rank(step) <= get_flow().rank("processing")
    has_no_card = is_at_extras and not session.vault_id
    if is_before_extras or has_no_card or flow.is_over(session):
        return flow.step_after(step)
    return None

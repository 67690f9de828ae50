"""What staff may do to a session, each through the manager, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from sessions_unified.admin.formatting import absolute
from sessions_unified.exceptions import (
    SessionExpiredError,
    SessionHeldError,
    SessionNotFoundError,
    SessionsUnifiedError,
    TierUnavailableError,
)
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessions_unified.manager import UnifiedSessionManager

MAX_AT_ONCE: Final = 500
DEFAULT_HOURS: Final = 24
MAX_HOURS: Final = 30 * 24


@dataclass(frozen=True, kw_only=True)
class Target:
    """One session to act on.

    Attributes:
        version: as the page had it, to tell a change from none.
        hours: what the form asked for, where the act has one.

    """

    id: str
    version: int
    hours: int = DEFAULT_HOURS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one session; ``text`` reads well before its id.

    ``secret`` is shown once, on the page that answers the request, and is stored nowhere.
    """

    session_id: str
    result: Literal["done", "unchanged", "refused"]
    text: str
    secret: str | None = None


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing to do.

    Attributes:
        name: in addresses and forms.
        label: on the button of one session's page.
        permission: which of the session's permissions it needs.
        explanation: what will happen; the page that asks for confirmation says it.
        run: does it to one session; what the manager refuses becomes a refused outcome.
        asks: whether it is confirmed first.
        asks_hours: whether that page asks for hours.
        is_dangerous: whether it destroys something.
        limit: how many sessions at once.

    """

    name: str
    label: str
    permission: Literal["change", "delete"]
    explanation: str
    run: Callable[[UnifiedSessionManager, Target], Outcome]
    asks: bool = True
    asks_hours: bool = False
    is_dangerous: bool = False
    limit: int = MAX_AT_ONCE


def carry_out(act: Act, manager: UnifiedSessionManager, targets: Iterable[Target]) -> list[Outcome]:
    """Do it to each; one that is refused does not stop the others."""
    return [_one(act, manager, target) for target in targets]


def _one(act: Act, manager: UnifiedSessionManager, target: Target) -> Outcome:
    try:
        return act.run(manager, target)
    except SessionsUnifiedError as exc:
        text = f"{act.label}: refused, {_reason(exc)}"
        return Outcome(session_id=target.id, result="refused", text=text)


def _reason(exc: SessionsUnifiedError) -> str:
    """Return why, for staff; the errors' own messages speak to shoppers."""
    match exc:
        case SessionHeldError():
            return "because a charge is still open (held)"
        case SessionExpiredError():
            return "because it has expired"
        case SessionNotFoundError():
            return "because it is deleted"
        case TierUnavailableError():
            return "because the database did not answer; look before trying again"
    return str(exc)


def _expire(manager: UnifiedSessionManager, target: Target) -> Outcome:
    session = manager.expire_session(target.id)
    if session.version == target.version:
        return Outcome(session_id=target.id, result="unchanged", text="It was over already")
    paid = session.status == COMPLETED
    text = "Completed rather than expired, because it is paid" if paid else "Expired"
    return Outcome(session_id=target.id, result="done", text=text)


def _extend(manager: UnifiedSessionManager, target: Target) -> Outcome:
    duration = timedelta(hours=target.hours)
    session = manager.extend_session(target.id, duration, past_limit=True)
    if session.version == target.version:
        text = f"Not shortened: it ends later already, {absolute(session.expires_at)}"
        return Outcome(session_id=target.id, result="unchanged", text=text)
    text = f"Extended until {absolute(session.expires_at)}"
    return Outcome(session_id=target.id, result="done", text=text)


def _drop(manager: UnifiedSessionManager, target: Target) -> Outcome:
    if manager.drop_copies(target.id):
        return Outcome(session_id=target.id, result="done", text="Dropped from the caches")
    text = "Dropped from this process's memory only, because Redis did not answer"
    return Outcome(session_id=target.id, result="refused", text=text)


def _delete(manager: UnifiedSessionManager, target: Target) -> Outcome:
    manager.delete_session(target.id)
    return Outcome(session_id=target.id, result="done", text="Deleted")


EXPIRE: Final = Act(
    name="expire",
    label="Expire now",
    permission="change",
    explanation="An unpaid session ends as expired, and its shopper has to start again. A paid "
    "one is completed, and keeps its receipt. One with an open charge is refused.",
    run=_expire,
)
EXTEND: Final = Act(
    name="extend",
    label="Extend",
    permission="change",
    explanation="The session ends that many hours from now, past its absolute limit too. It never "
    "gets shorter. The timeline records that you did it.",
    run=_extend,
    asks_hours=True,
)
DROP: Final = Act(
    name="drop",
    label="Drop from the caches",
    permission="change",
    explanation="Copies in memory and Redis are dropped. The next read comes from the database, "
    "and nothing is lost.",
    run=_drop,
    asks=False,
)
DELETE: Final = Act(
    name="delete",
    label="Delete",
    permission="delete",
    explanation="Customer, products and everything else of the session are erased for good. Its id "
    "stays as a tombstone without personal data, so that no cache or import brings it back; its "
    "events stay. One with an open charge is refused.",
    run=_delete,
    is_dangerous=True,
)

"""A session under its row's lock: what ``manager.lock_session`` yields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sessions_unified import changes as changing
from sessions_unified import expiry, touches
from sessions_unified.exceptions import (
    SessionExpiredError,
    TierUnavailableError,
    VersionConflictError,
)
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow
from sessions_unified.tiers import Copy, Tiers
from sessions_unified.tiers.database import Change, LockedRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessions_unified.snapshot import SessionSnapshot


class LockedSession:
    """Read, decide and write inside one short transaction. Nobody else writes meanwhile.

    Attributes:
        session: its present state, own writes included.
        holds: open reasons why it may not be expired, purged or deleted.

    """

    def __init__(self, *, tiers: Tiers, actor: str, row: LockedRow) -> None:
        self._tiers = tiers
        self._actor = actor
        self._row = row
        self.session: SessionSnapshot = row.copy.session
        self.holds = row.holds
        self.is_changed = False
        self.copy = row.copy

    def check_alive(self) -> None:
        """Refuse a session past its end, touches counted; a held one is never past it.

        A paid one is completed, by the same rule as everywhere, and goes on.

        Raises:
            SessionExpiredError: with the session's last state.

        """
        session = self.session
        if session.status == EXPIRED:
            raise SessionExpiredError(session=session)
        if self.holds and session.status != COMPLETED:
            return
        now = self._tiers.clock.now()
        try:
            seen = touches.last_seen(self._tiers, session.id, self._row.last_seen_at)
        except TierUnavailableError:
            seen = self._row.last_seen_at
            if now >= expiry.effective_deadline(session, seen) and (
                expiry.may_be_touched(session, now)
            ):
                raise SessionExpiredError(session=session) from None
        if now < expiry.effective_deadline(session, seen):
            return
        if session.status == COMPLETED or not session.is_paid:
            raise SessionExpiredError(session=session)
        self.expire()

    def update(
        self,
        changes: Mapping[str, Any],
        *,
        kind: str,
        data: Mapping[str, Any] | None = None,
        checks_flow: bool = True,
    ) -> SessionSnapshot:
        """Change the named fields with an event of ``kind``; with ``data`` even if none changes.

        ``data`` holds facts for the event, never personal ones. ``checks_flow=False`` is for a
        late success of a charge, which completes a session that the flow has let go.

        Raises:
            InvalidTransitionError, InvalidChangeError: as ``manager.update_session``.

        """
        before, now = self.session, self._tiers.clock.now()
        fields = changing.coerce(changes)
        flow = get_flow() if checks_flow else None
        after, changed = changing.apply(before, fields, flow=flow, now=now)
        if not changed:
            if data is None:
                return before
            after = msgspec.structs.replace(before, version=before.version + 1, updated_at=now)
        facts = changing.event_data(before, after) | dict(data or {})
        return self._write(
            after, Change(kind=kind, actor=self._actor, at=now, changed=changed, data=facts)
        )

    def extend(self, duration: timedelta | None, *, past_limit: bool) -> SessionSnapshot:
        """Move ``expires_at``; see ``manager.extend_session``."""
        before, now = self.session, self._tiers.clock.now()
        if before.status == COMPLETED and not past_limit:
            return before
        limit = expiry.absolute_limit(before.created_at)
        if duration is None:
            wanted = expiry.deadline(
                status=before.status,
                step=before.current_step,
                created_at=before.created_at,
                now=now,
            )
        else:
            wanted = now + duration if past_limit else min(now + duration, limit)
        expires_at = max(before.expires_at, wanted)
        if expires_at == before.expires_at:
            return before
        after = msgspec.structs.replace(
            before, expires_at=expires_at, version=before.version + 1, updated_at=now
        )
        return self._write(
            after,
            Change(
                kind="session_extended",
                actor=self._actor,
                at=now,
                changed=("expires_at",),
                data={"until": expires_at.isoformat()},
            ),
        )

    def expire(self) -> SessionSnapshot:
        """End it now: paid → completed, unpaid → expired; an ended one stays as it is."""
        before, now = self.session, self._tiers.clock.now()
        if before.status in {COMPLETED, EXPIRED}:
            return before
        end = get_flow().end
        ending = (
            {"status": end.status, "current_step": end.step}
            if before.is_paid
            else {"status": EXPIRED}
        )
        after, changed = changing.apply(
            before, changing.coerce(ending | {"payment_token": None}), flow=None, now=now
        )
        if after.status == EXPIRED:
            after = msgspec.structs.replace(after, expires_at=min(before.expires_at, now))
        kind = "session_completed" if before.is_paid else "session_expired"
        facts = changing.event_data(before, after)
        return self._write(
            after, Change(kind=kind, actor=self._actor, at=now, changed=changed, data=facts)
        )

    def hold(self) -> None:
        """Add a reason why the session may not be expired, purged or deleted."""
        self._tiers.database.change_holds(self.session.id, 1)
        self.holds += 1

    def release(self) -> None:
        """Take one such reason back."""
        self._tiers.database.change_holds(self.session.id, -1)
        self.holds -= 1

    def _write(self, after: SessionSnapshot, change: Change) -> SessionSnapshot:
        before = self.session
        if not self._tiers.database.compare_and_set(before.version, after, change, change.changed):
            raise VersionConflictError
        self.session = after
        self.copy = Copy(after, change.at)
        self.is_changed = True
        return after

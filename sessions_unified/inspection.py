"""Everything that is known of one session, for a person who looks into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sessions_unified import health, touches
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.masking import mask_json, mask_session
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `inspect_session` found.

    Attributes:
        session: the session as clients see it, and ``vaultId`` and ``paymentToken``; None for a
            deleted one.
        holds: open reasons why it may not be expired, purged or deleted.
        last_seen_at: when its shopper was seen last, touches that are not flushed yet included.
        deleted_at: when it became a tombstone.
        events: its timeline.
        health: how the tiers agree.

    """

    id: str
    session: dict[str, Any] | None
    holds: int
    last_seen_at: datetime | None
    deleted_at: datetime | None
    events: tuple[SessionEvent, ...]
    health: health.SessionHealth

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "id": self.id,
            "session": self.session,
            "holds": self.holds,
            "lastSeenAt": self.last_seen_at,
            "deletedAt": self.deleted_at,
            "events": [
                {
                    "seq": event.seq,
                    "at": event.at,
                    "kind": event.kind,
                    "changed": event.changed,
                    "data": event.data,
                    "actor": event.actor,
                }
                for event in self.events
            ],
            "problems": self.health.problems,
            "tiers": msgspec.to_builtins(self.health.tiers),
        }


def inspect_session(tiers: Tiers, session_id: str, *, shows_pii: bool = False) -> Inspection:
    """Gather what is known; personal data masked unless ``shows_pii``.

    Vault id and payment token are masked always: they open a card.

    Raises:
        SessionNotFoundError: there never was such a session.
        DatabaseUnavailableError: the database did not answer.

    """
    alias = tiers.database.alias
    stored = UnifiedSession.objects.using(alias).filter(pk=session_id).first()
    if stored is None:
        raise SessionNotFoundError
    row = tiers.database.row(session_id)
    return Inspection(
        id=session_id,
        session=None if row is None else _fields(row.copy.session, shows_pii=shows_pii),
        holds=stored.holds,
        last_seen_at=touches.last_seen(tiers, session_id, stored.last_seen_at),
        deleted_at=stored.deleted_at,
        events=tuple(
            SessionEvent.objects.using(alias).filter(session_id=session_id).order_by("seq")
        ),
        health=health.examine(tiers, session_id),
    )


def _fields(session: SessionSnapshot, *, shows_pii: bool) -> dict[str, Any]:
    wire = to_wire(session, shows_internal=True)
    shown = wire if shows_pii else mask_session(wire)
    secrets = {"vaultId": session.vault_id, "paymentToken": session.payment_token}
    return shown | {name: mask_json(value) for name, value in secrets.items()}

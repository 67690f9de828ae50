"""Everything that is known of one session, for a person who looks into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sessions_unified import health, touches
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.field_lines import differing_leaves
from sessions_unified.masking import mask_json, mask_session
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.other_copies import other_copies
from sessions_unified.snapshot import SessionSnapshot
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.other_copies import OtherCopy
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class InspectedCopy:
    """What a store outside the tiers holds.

    Attributes:
        name: what people call the store.
        session: as `Inspection.session`, with those fields alone that the store has a place for.
        error: why it could not be told whether the store has it, or what.
        differences: the fields that contradict ours, under their names in ``session``.
        differing_leaves: the same, leaf by leaf (`sessions_unified.field_lines`).

    """

    name: str
    session: dict[str, Any] | None
    error: str | None
    differences: tuple[str, ...]
    differing_leaves: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "name": self.name,
            "session": self.session,
            "error": self.error,
            "differences": self.differences,
        }


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `inspect_session` found.

    Attributes:
        session: the session as clients see it, and ``vaultId`` and ``paymentToken``; None for one
            that is deleted, or was never here.
        holds: open reasons why it may not be expired, purged or deleted.
        last_seen_at: when its shopper was seen last, touches that are not flushed yet included.
        deleted_at: when it became a tombstone.
        events: its timeline.
        health: how the tiers agree.
        copies: what stores outside the tiers hold of it.

    """

    id: str
    session: dict[str, Any] | None
    holds: int
    last_seen_at: datetime | None
    deleted_at: datetime | None
    events: tuple[SessionEvent, ...]
    health: health.SessionHealth
    copies: tuple[InspectedCopy, ...] = ()

    @property
    def elsewhere(self) -> tuple[InspectedCopy, ...]:
        """The copies that there are."""
        return tuple(copy for copy in self.copies if copy.session is not None)

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
            "copies": [copy.as_json() for copy in self.copies],
        }


def inspect_session(tiers: Tiers, session_id: str, *, shows_pii: bool = False) -> Inspection:
    """Gather what is known; personal data masked unless ``shows_pii``.

    Vault id and payment token are masked always: they open a card. A session that only another
    store has is shown too. Nothing is written anywhere.

    Raises:
        SessionNotFoundError: there never was such a session, here or elsewhere.
        DatabaseUnavailableError: the database did not answer.

    """
    alias = tiers.database.alias
    stored = UnifiedSession.objects.using(alias).filter(pk=session_id).first()
    row = tiers.database.row(session_id) if stored is not None else None
    truth = None if row is None else row.copy.session
    others = other_copies(session_id)
    if stored is None and not any(copy.session for copy in others):
        raise SessionNotFoundError(_unknown(session_id, others))
    return Inspection(
        id=session_id,
        session=None if truth is None else _fields(truth, shows_pii=shows_pii),
        holds=stored.holds if stored else 0,
        last_seen_at=touches.last_seen(tiers, session_id, stored.last_seen_at) if stored else None,
        deleted_at=stored.deleted_at if stored else None,
        events=tuple(
            SessionEvent.objects.using(alias).filter(session_id=session_id).order_by("seq")
        ),
        health=health.examine(tiers, session_id, others=others),
        copies=tuple(_copy(copy, truth, shows_pii=shows_pii) for copy in others),
    )


def _unknown(session_id: str, others: tuple[OtherCopy, ...]) -> str:
    said = [f"There never was a session {session_id} here."]
    return " ".join(said + [f"{copy.name}: {copy.error}" for copy in others if copy.error])


def _copy(copy: OtherCopy, truth: SessionSnapshot | None, *, shows_pii: bool) -> InspectedCopy:
    differences = tuple(_WIRE[name] for name in copy.differences(truth))
    session = None
    unlike: frozenset[str] = frozenset()
    if copy.session is not None:
        spoken = {_WIRE[name] for name in _WIRE if copy.speaks_of(name)}
        fields = _fields(copy.session, shows_pii=shows_pii)
        session = {name: value for name, value in fields.items() if name in spoken}
        if truth is not None:
            unlike = differing_leaves(_unmasked(truth), _unmasked(copy.session), differences)
    return InspectedCopy(
        name=copy.name,
        session=session,
        error=copy.error,
        differences=differences,
        differing_leaves=unlike,
    )


def _fields(session: SessionSnapshot, *, shows_pii: bool) -> dict[str, Any]:
    wire = to_wire(session, shows_internal=True)
    shown = wire if shows_pii else mask_session(wire)
    return {**shown, **mask_json(_secrets(session))}


def _unmasked(session: SessionSnapshot) -> dict[str, Any]:
    """Return what is compared, and never shown."""
    return to_wire(session, shows_internal=True) | _secrets(session)


def _secrets(session: SessionSnapshot) -> dict[str, Any]:
    return {"vaultId": session.vault_id, "paymentToken": session.payment_token}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_WIRE: Final = {name: _camel(name) for name in SessionSnapshot.__struct_fields__}
"""A field of the snapshot → its name in the wire form."""

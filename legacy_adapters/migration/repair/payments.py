"""What a legacy copy can never undo: a charge under way, the payment, the stored card, the extras.

Charge attempts are the authority for them, and our row is written in one transaction with those. A
legacy record that has lost one is an old copy that was written back, or the store's own commit was
lost: it is mended from our row. An open attempt holds the row (``is_held``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from legacy_adapters.exceptions import LegacyAdaptersError
from sessions_unified.flow import Position, get_flow

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot


class PaymentContradictedError(LegacyAdaptersError):
    """The legacy record names another payment than the session does. A person must look at both."""


def is_contradicted(legacy: SessionSnapshot, ours: SessionSnapshot) -> bool:
    """Tell whether both are paid, by different transactions."""
    return ours.is_paid and legacy.is_paid and ours.transaction_id != legacy.transaction_id


def lacks_charge(legacy: SessionSnapshot, ours: SessionSnapshot) -> bool:
    """Tell whether the legacy store would let a shopper check out whose charge is under way."""
    start = get_flow().start
    return _position(legacy) == start != _position(ours)


def has_lost(legacy: SessionSnapshot, ours: SessionSnapshot, *, is_held: bool = False) -> bool:
    """Tell whether the legacy store lacks some of what is paid here, or being paid."""
    lacks = _lacks_order(legacy, ours) or _lacks_card(legacy, ours) or bool(_extras(legacy, ours))
    return lacks or (is_held and lacks_charge(legacy, ours))


def keeping_paid(
    legacy: SessionSnapshot, ours: SessionSnapshot, *, is_held: bool = False
) -> SessionSnapshot:
    """Return the session as the legacy store says, with what it has lost put back from our row."""
    if is_held and lacks_charge(legacy, ours):
        return ours  # what is charged is in it: the order, for whom, to whom
    changes: dict[str, Any] = {}
    if _lacks_card(legacy, ours):
        changes["vault_id"] = ours.vault_id
    if _lacks_order(legacy, ours):
        changes |= {
            "transaction_id": ours.transaction_id,
            "products": ours.products,
            "amount": ours.amount,
            "payment_token": None,
        }
    extras = _extras(legacy, ours)
    if extras:
        declined = tuple(each for each in legacy.upsells.declined if each not in extras)
        accepted = (*legacy.upsells.accepted, *extras)
        changes["upsells"] = msgspec.structs.replace(
            legacy.upsells, accepted=accepted, declined=declined
        )
    if (_lacks_order(legacy, ours) or extras) and _is_no_further(legacy, ours):
        changes |= {"status": ours.status, "current_step": ours.current_step}
    return msgspec.structs.replace(legacy, **changes) if changes else legacy


def _position(session: SessionSnapshot) -> Position:
    return Position(session.status, session.current_step)


def _lacks_order(legacy: SessionSnapshot, ours: SessionSnapshot) -> bool:
    return ours.is_paid and not legacy.is_paid


def _lacks_card(legacy: SessionSnapshot, ours: SessionSnapshot) -> bool:
    return ours.vault_id is not None and legacy.vault_id is None


def _extras(legacy: SessionSnapshot, ours: SessionSnapshot) -> tuple[str, ...]:
    """Return the extras that were taken here and that the legacy store does not have as taken."""
    return tuple(each for each in ours.upsells.accepted if each not in legacy.upsells.accepted)


def _is_no_further(legacy: SessionSnapshot, ours: SessionSnapshot) -> bool:
    rank = get_flow().rank
    return rank(legacy.current_step) <= rank(ours.current_step)

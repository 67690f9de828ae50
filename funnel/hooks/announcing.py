"""Which events of the log are handed on, as what, and by which ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from funnel.hooks.event import ORDER_PAID, REFUNDED, SESSION_COMPLETED, UPSELL_PAID
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from sessions_unified.event_log import Entry

_WENT_BACK: Final = ("charge_refunded", "charge_voided")
_MOVES: Final = ("status", "step")
# What a target is told of an event; the log may come to hold more.
_FACTS: Final = ("purpose", "amount", "currency", "outcome", "kind", "refund", "surplus", *_MOVES)


def types_of(entry: Entry) -> tuple[str, ...]:
    """Return as what an event is handed on, in the order in which it is; most are not."""
    types = []
    if entry.kind == "upsell_succeeded":
        types.append(UPSELL_PAID)
    elif entry.kind in _WENT_BACK and "refund" in entry.data:
        # A void without one is of a charge that never counted as paid: nobody was told of it.
        types.append(REFUNDED)
    elif entry.kind == "charge_succeeded" and entry.data.keys().isdisjoint(_MOVES):
        # A late success: the session has gone on without it, so nothing else would tell.
        types.append(ORDER_PAID)
    if _completes(entry):
        types.append(SESSION_COMPLETED)
    return tuple(types)


def _completes(entry: Entry) -> bool:
    """Tell whether the event moved the session to its end, here and not in the old shop."""
    move = entry.data.get("status")
    is_move = isinstance(move, list) and move[-1] == COMPLETED and move[0] != COMPLETED
    return is_move and not entry.actor.startswith("import:")


def event_id(entry: Entry, kind: str) -> str:
    """Return the id of an event handed on as ``kind``: the same whenever it is asked for."""
    return f"evt_{entry.session_id}_{entry.seq}_{kind}"


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return what the event says that a target may know."""
    return {name: entry.data[name] for name in _FACTS if name in entry.data}

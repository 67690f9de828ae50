"""Which gates a move forward goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.gates import comparing, copies, fleet, order, unseen
from legacy_adapters.migration.stages.names import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.migration.gates.gate import Gate, Move

_BASE: Final[tuple[Callable[[Move], Gate], ...]] = (fleet.fleet, order.paused, order.order)
_UP: Final = (*_BASE, copies.backfill, copies.marks, copies.conflicts)
_COMPARED: Final = (*_UP, comparing.comparisons, comparing.parity)

GATES: Final = {
    Stage.DUAL_WRITE: _BASE,
    Stage.SHADOW: _UP,
    Stage.LIVE: _COMPARED,
    Stage.RAMP_DOWN: _COMPARED,
    Stage.COMPLETE: (*_BASE, copies.drained, unseen.unseen, copies.conflicts),
}
"""The gates of moving into a stage, and of letting more sessions into it."""


def gates_of(move: Move) -> tuple[Gate, ...]:
    """Return the gates of a move forward as they are now, but for the database's."""
    return tuple(gate(move) for gate in GATES[move.after.stage])

"""The flow: which moves between (status, step) are legal. One table, read by everyone.

A site replaces the table by the setting ``FLOW``; the rules that read it stay these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, Protocol

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import InvalidTransitionError

PENDING = "pending"
PROCESSING = "processing"
COMPLETED = "completed"
FAILED = "failed"
EXPIRED = "expired"
STATUSES = (PENDING, PROCESSING, COMPLETED, FAILED, EXPIRED)


class Position(NamedTuple):
    """Where a session stands."""

    status: str
    step: str

    def __str__(self) -> str:
        return f"{self.status}/{self.step}"


@dataclass(frozen=True, kw_only=True)
class Move:
    """One legal move.

    Attributes:
        name: what happened, as events and docs call it.
        before: where the session stands.
        after: where it goes.
        by_client: whether an API client may ask for it by name; the others follow from a charge.

    """

    name: str
    before: Position
    after: Position
    by_client: bool = False


class Flow(Protocol):
    """What the setting ``FLOW`` names: a callable that returns the site's legal moves."""

    def __call__(self) -> tuple[Move, ...]:
        """Return the moves, the funnel's steps in the order in which they are first named."""


def default_moves() -> tuple[Move, ...]:
    """Return the flow checkout → processing → upsell-1 → upsell-2 → success."""
    checkout = Position(PENDING, "checkout")
    processing = Position(PROCESSING, "processing")
    first = Position(PROCESSING, "upsell-1")
    second = Position(PROCESSING, "upsell-2")
    success = Position(COMPLETED, "success")
    return (
        Move(name="charge_started", before=checkout, after=processing),
        Move(name="charge_declined", before=processing, after=checkout),
        Move(name="charge_succeeded", before=processing, after=first),
        Move(name="first_upsell_ended", before=first, after=second, by_client=True),
        Move(name="second_upsell_ended", before=second, after=success, by_client=True),
    )


class FlowTable:
    """The rules over a flow's moves."""

    def __init__(self, moves: tuple[Move, ...]) -> None:
        self.moves = moves
        self._legal = {(move.before, move.after): move for move in moves}

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """Every position of the table, in the funnel's order."""
        ends = [end for move in self.moves for end in (move.before, move.after)]
        return tuple(dict.fromkeys(ends))

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The steps, in the funnel's order."""
        return tuple(dict.fromkeys(position.step for position in self.positions))

    @property
    def start(self) -> Position:
        """Where a new session stands."""
        return self.positions[0]

    @property
    def end(self) -> Position:
        """Where a finished session stands."""
        return self.positions[-1]

    def rank(self, step: str) -> int:
        """Return how far along ``step`` is; -1 for a step that the flow does not know."""
        return self.steps.index(step) if step in self.steps else -1

    def position_at(self, step: str) -> Position:
        """Return the table's position at ``step``.

        Raises:
            InvalidTransitionError: the flow has no such step.

        """
        for position in self.positions:
            if position.step == step:
                return position
        message = f"The flow has no step {step!r}; its steps are {', '.join(self.steps)}."
        raise InvalidTransitionError(message)

    def check(self, before: Position, after: Position, *, by_client: bool = False) -> None:
        """Refuse an illegal move. Staying is always legal, so repeating a move is a no-op.

        A session outside the table (imported) may leave only forward: to a position of the table
        at a later step.

        Raises:
            InvalidTransitionError: naming the moves that are legal from ``before``.

        """
        if before == after:
            return
        move = self._legal.get((before, after))
        if move is not None and (move.by_client or not by_client):
            return
        if before not in self.positions and self._leads_back_in(before, after):
            return
        options = [
            str(move.after)
            for move in self.moves
            if move.before == before and (move.by_client or not by_client)
        ]
        message = f"A session cannot go from {before} to {after}. From there it can go to: " + (
            ", ".join(options) or "nowhere"
        )
        raise InvalidTransitionError(f"{message}.")

    def _leads_back_in(self, before: Position, after: Position) -> bool:
        is_over = before.status in {COMPLETED, EXPIRED}
        forward = self.rank(after.step) > self.rank(before.step)
        return after in self.positions and forward and not is_over


@cache
def get_flow() -> FlowTable:
    """Return the table of the flow that the site has chosen."""
    moves: Flow = import_string(get_conf().FLOW)
    return FlowTable(moves())


def _forget(*, setting: str, **_: object) -> None:
    if setting == "SESSIONS_UNIFIED":
        get_flow.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.flow")

"""Whether the endpoint may go on at all: nobody holds it, and the others are far enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration.gates.gate import Gate
from legacy_adapters.migration.stages.names import Endpoint, Stage

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Move
    from legacy_adapters.migration.stages.view import Place, StageView


def paused(move: Move) -> Gate:
    """Nobody holds the endpoint where it is."""
    row = move.row
    if row is None or row.paused_at is None:
        return Gate(name="paused", is_open=True, reason="Nobody holds it where it is.")
    since = f"{row.paused_at:%Y-%m-%d %H:%M} UTC"
    reason = f"It is paused since {since} (“{row.pause_reason}”). Resume it to go on."
    return Gate(name="paused", is_open=False, reason=reason, figure=f"since {since}")


def needed_of_all(stage: Stage) -> Stage:
    """Return the stage that every endpoint must have reached, for all sessions, beside one there.

    An endpoint at `off` writes the legacy stores alone, so that nothing could be compared or read
    elsewhere; one before `ramp_down` reads or compares legacy, which `complete` no longer writes.
    """
    if stage is Stage.COMPLETE:
        return Stage.RAMP_DOWN
    return Stage.DUAL_WRITE if stage.rank >= Stage.SHADOW.rank else Stage.OFF


def behind(view: StageView, needed: Stage) -> list[Endpoint]:
    """Return the endpoints that have not reached a stage for all sessions."""
    return [each for each in Endpoint if view.place(each).of_all.rank < needed.rank]


def order(move: Move) -> Gate:
    """It takes one stage after the other, each for all sessions first; and not before the rest."""
    stage = move.after.stage
    needed = needed_of_all(stage)
    late = [each for each in behind(move.view, needed) if each is not move.endpoint]
    figure = f"{len(Endpoint) - len(late)} of {len(Endpoint)}"
    problem = _step(move.before, move.after)
    if problem is None and late:
        where = ", ".join(f"{each} ({_told(move.view.place(each))})" for each in late)
        problem = (
            f"Every endpoint must be at {needed} or later for all sessions before one goes to "
            f"{stage}; bring forward: {where}."
        )
    if problem is not None:
        return Gate(
            name="order", is_open=False, reason=problem, figure=figure, needs=f"{len(Endpoint)}"
        )
    reason = "It is its turn."
    if needed is not Stage.OFF:
        reason = f"Every endpoint is at {needed} or later for all sessions."
    return Gate(name="order", is_open=True, reason=reason, figure=figure, needs=f"{len(Endpoint)}")


def _step(before: Place, after: Place) -> str | None:
    """Return what is wrong with going from one place to the other in one step."""
    if after.stage is before.stage:
        return None
    if after.stage is not before.stage.after:
        return f"After {before.stage} comes {before.stage.after}, not {after.stage} at once."
    if before.percent < 100:  # noqa: PLR2004
        return (
            f"It is at {_told(before)}; bring that to 100 % of the sessions before it goes to "
            f"{after.stage}."
        )
    return None


def _told(place: Place) -> str:
    return f"{place.stage} for {place.percent:g} %"

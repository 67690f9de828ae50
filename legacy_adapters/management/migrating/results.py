"""What was done, what to watch from now on, and what was done before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.management.migrating.wording import place_of, wrapped
from legacy_adapters.migration.stages.names import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.models import StageChange

WATCH: Final = {
    Stage.OFF: "The old stores alone are written now, and nothing here keeps up with them. The way "
    "forward needs a new backfill.",
    Stage.DUAL_WRITE: "Both sides are written now. Watch the marks: they should stay near 0. Once "
    "every endpoint is here for all sessions, run backfill_sessions.",
    Stage.SHADOW: "Shoppers still see the old stores; the other side is compared beside it. Watch "
    "the differences, and how many comparisons were shed.",
    Stage.LIVE: "Shoppers see the unified side now. Watch errors, latency and differences for a "
    "while: too many of them bring it back to shadow by themselves. Once every endpoint is here, "
    "the old code must not write these sessions any more.",
    Stage.RAMP_DOWN: "Nothing is compared any more, and nothing goes back by itself. The old "
    "stores are still written: the way back is open.",
    Stage.COMPLETE: "The old stores are not written any more. What is left of it: migration "
    "retire, once all endpoints are here.",
}
WATCH_BACK: Final = WATCH | {
    Stage.DUAL_WRITE: "Shoppers see the old stores, and both sides are written. Watch the marks: "
    "they should stay near 0.",
    Stage.SHADOW: "Shoppers see the old stores again; the other side is compared beside it. Find "
    "out what the differences were before you go on.",
    Stage.RAMP_DOWN: "The old stores are written again. What they have missed is copied to them "
    "now: watch the marks until none is left.",
}


def change_lines(change: StageChange, *, columns: int) -> Iterator[str]:
    """Yield what a move did, and what to look at now."""
    yield (
        f"{change.endpoint}: {place_of(change.from_stage, change.from_percent)} → "
        f"{place_of(change.to_stage, change.to_percent)}"
    )
    stage = Stage(change.to_stage)
    is_back = stage.rank < Stage(change.from_stage).rank
    yield from wrapped((WATCH_BACK if is_back else WATCH)[stage], columns, indent="  ")


def history_lines(change: StageChange, *, columns: int) -> Iterator[str]:
    """Yield one move of the history."""
    who = f"by itself ({change.actor})" if change.is_automatic else change.actor
    where = f"{change.at:%Y-%m-%d %H:%M:%S} UTC  {change.endpoint}"
    yield f"{where}: {_move(change)}"
    yield from wrapped(f"{who}: {change.reason}", columns, indent="  ", hang="  ")


def _move(change: StageChange) -> str:
    before = place_of(change.from_stage, change.from_percent)
    after = place_of(change.to_stage, change.to_percent)
    return f"{before} → {after}" if before != after else after


def change_json(change: StageChange) -> dict[str, Any]:
    """Return one move for scripts."""
    return {
        "endpoint": change.endpoint,
        "from": {"stage": change.from_stage, "percent": float(change.from_percent)},
        "to": {"stage": change.to_stage, "percent": float(change.to_percent)},
        "at": change.at.isoformat(),
        "actor": change.actor,
        "reason": change.reason,
        "automatic": change.is_automatic,
        "gates": change.gates,
    }

"""What a move does, session by session: whose reads go where, and which side is written first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from legacy_adapters.management.migrating.wording import percent_of, place_of
from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.stages.slicing import BUCKETS
from legacy_adapters.migration.stages.view import StageView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.migration.stages.view import Place


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the sessions to which the same happens, before the move and after it.

    Attributes:
        percent: how large a part.
        stages: the endpoint's stage for them.
        reads: the side that answers the endpoint.
        first: the side that is written first, whatever the endpoint.

    """

    percent: float
    stages: tuple[Stage, Stage]
    reads: tuple[Side, Side]
    first: tuple[Side, Side]

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return asdict(self)


def slices(view: StageView, endpoint: Endpoint, after: Place) -> list[Slice]:
    """Return what a move of one endpoint does to all sessions, those of the lowest buckets first.

    They are cut where something differs: at both percentages, and where the first side changes.
    """
    before = view.place(endpoint)
    moved = StageView(epoch=view.epoch, places={**view.places, endpoint: after})
    cuts = {
        0,
        BUCKETS,
        *(ceil(each.percent * BUCKETS / 100) for each in (before, after)),
        *(each.unified_buckets for each in (view, moved)),
    }
    edges = sorted(cuts)
    found: list[Slice] = []
    for low, high in pairwise(edges):
        stages = (before.of(low), after.of(low))
        first = (_first(view, low), _first(moved, low))
        reads = (stages[0].reads, stages[1].reads)
        size = (high - low) * 100 / BUCKETS
        if found and (found[-1].stages, found[-1].first) == (stages, first):
            size += found.pop().percent
        found.append(Slice(percent=size, stages=stages, reads=reads, first=first))
    return found


def _first(view: StageView, bucket: int) -> Side:
    return Side.UNIFIED if bucket < view.unified_buckets else Side.LEGACY


def plan_lines(view: StageView, endpoint: Endpoint, after: Place) -> Iterator[str]:
    """Yield a move in words, a paragraph a part of the sessions."""
    before = view.place(endpoint)
    yield f"{endpoint}: {place_of(before.stage, before.percent)} → " + place_of(
        after.stage, after.percent
    )
    for each in slices(view, endpoint, after):
        stages = " → ".join(dict.fromkeys(each.stages))
        yield f"  {percent_of(each.percent)} of the sessions: {stages}"
        if each.stages[0] == each.stages[1] and each.first[0] == each.first[1]:
            yield "    nothing changes"
            continue
        yield f"    reads: {_change(each.reads)}{_compared(each.stages[1])}"
        yield f"    written first: {_change(each.first)}{_also(each.stages[1], each.first[1])}"


def _change(sides: tuple[Side, Side]) -> str:
    before, after = sides
    return f"{after}, as now" if before is after else f"{after} instead of {before}"


def _compared(stage: Stage) -> str:
    return ", compared with the other side beside it" if stage.compares else ""


def _also(stage: Stage, first: Side) -> str:
    if stage is Stage.OFF:
        return "; the other side is not kept up"
    if stage is Stage.COMPLETE:
        return "; the other side is not written by it"
    return f"; then {Side.LEGACY if first is Side.UNIFIED else Side.UNIFIED}"

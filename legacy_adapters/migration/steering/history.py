"""What the history of stage changes says: since when something has held without a break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.models import StageChange
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from datetime import datetime


def reached_by_all(stage: Stage) -> datetime | None:
    """Return since when every endpoint has been at a stage or later for all sessions.

    None: one of them is not.
    """
    since = dict.fromkeys(Endpoint.values)
    if stage is Stage.OFF:
        return None
    changes = (
        rows(StageChange).order_by("id").values_list("endpoint", "to_stage", "to_percent", "at")
    )
    for endpoint, to_stage, percent, at in changes:
        is_there = Place(stage=Stage(to_stage), percent=percent).of_all.rank >= stage.rank
        since[endpoint] = (since.get(endpoint) or at) if is_there else None
    reached = [since[each] for each in Endpoint.values]
    known = [each for each in reached if each is not None]
    return max(known) if len(known) == len(reached) else None


def entered(endpoint: Endpoint, stage: Stage) -> datetime | None:
    """Return when an endpoint came to a stage last, for any sessions; None: it never did."""
    changes = rows(StageChange).filter(endpoint=endpoint, to_stage=stage).exclude(from_stage=stage)
    return changes.order_by("id").values_list("at", flat=True).last()

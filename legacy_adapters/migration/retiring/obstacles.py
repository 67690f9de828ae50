"""What keeps the old stores from being retired: each with what would take it out of the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Q

from legacy_adapters.migration import fleet
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.unseen import unseen
from legacy_adapters.models import WriteMark
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One thing in the way.

    Attributes:
        name: what it is about, in a word.
        text: the fact, with its figure.
        needs: what would take it out of the way.

    """

    name: str
    text: str
    needs: str


def obstacles(tiers: Tiers) -> list[Obstacle]:
    """Return what stands in the way, looked up now.

    Raises:
        DatabaseUnavailableError: our database did not answer.

    """
    return [*_stages(tiers), *_marks(), *_lagging(tiers), *_unseen(tiers)]


def _stages(tiers: Tiers) -> Iterator[Obstacle]:
    view = store.read(tiers.database)
    behind = [each for each in Endpoint if view.place(each).of_all is not Stage.COMPLETE]
    if behind:
        names = ", ".join(
            f"{each} is at {view.place(each).stage} for {view.place(each).percent:g} %"
            for each in behind
        )
        yield Obstacle(
            name="stages",
            text=f"{names}.",
            needs="Bring every endpoint to complete for all sessions: migration advance.",
        )


def _marks() -> Iterator[Obstacle]:
    found = rows(WriteMark).aggregate(all=Count("pk"), dead=Count("pk", filter=Q(is_dead=True)))
    if found["all"]:
        yield Obstacle(
            name="marks",
            text=f"{found['all']:,} sessions are not repaired, {found['dead']:,} of them given up.",
            needs="Let the workers repair them; look at the given up ones in the admin, under "
            "Sessions to repair.",
        )


def _lagging(tiers: Tiers) -> Iterator[Obstacle]:
    behind = fleet.lagging(tiers)
    if behind:
        names = ", ".join(str(each) for each in behind)
        yield Obstacle(
            name="processes",
            text=f"These have not seen the last move: {names}.",
            needs="Wait a moment; restart one that hangs.",
        )


def _unseen(tiers: Tiers) -> Iterator[Obstacle]:
    for each in unseen(tiers):
        if each.retire_at is None or tiers.clock.now() < each.retire_at:
            until = "its time has not begun"
            if each.retire_at is not None:
                until = f"it may hold some until {each.retire_at:%Y-%m-%d %H:%M} UTC"
            yield Obstacle(
                name="unseen",
                text=f"{each.sessions:,} sessions were not met in {each.source}: {until}.",
                needs="Wait until then.",
            )

"""What a move would be: from where, to where, and through which gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.gates import fleet
from legacy_adapters.migration.gates.asking import gates_of
from legacy_adapters.migration.gates.gate import Move
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.models import EndpointStage
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.stages.names import Endpoint
    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers

ALL: Final = Decimal(100)


class MoveRefusedError(LegacyAdaptersError):
    """Not a move that can be made. Nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A move as it would be.

    Attributes:
        endpoint: what is moved.
        before: where it is.
        after: where it would be.
        gates: all that it goes through, open or shut; of a move back the database's alone.
        epoch: the last stage change that it knows of.

    """

    endpoint: Endpoint
    before: Place
    after: Place
    gates: tuple[Gate, ...]
    epoch: int = 0

    @property
    def is_forward(self) -> bool:
        """Whether it goes forward."""
        return order_of(self.after) > order_of(self.before)

    @property
    def shut(self) -> tuple[Gate, ...]:
        """The gates that are shut."""
        return tuple(each for each in self.gates if not each.is_open)

    @property
    def is_allowed(self) -> bool:
        """Whether every gate is open."""
        return not self.shut

    def to_json(self) -> dict[str, Any]:
        """Return it as commands say it."""
        return {
            "endpoint": self.endpoint.value,
            "from": {"stage": self.before.stage.value, "percent": float(self.before.percent)},
            "to": {"stage": self.after.stage.value, "percent": float(self.after.percent)},
            "allowed": self.is_allowed,
            "gates": [each.to_json() for each in self.gates],
        }


def order_of(place: Place) -> tuple[int, Decimal]:
    """Return what places are ordered by."""
    return place.stage.rank, Decimal(str(place.percent))


def plan(
    tiers: Tiers,
    endpoint: Endpoint,
    *,
    stage: Stage | None = None,
    percent: float | Decimal | None = None,
) -> Plan:
    """Return what a move would be; without ``stage``, the next one forward.

    Raises:
        MoveRefusedError: it is there already, there is nothing after it, or it is no percentage.
        DatabaseUnavailableError: the database did not answer.

    """
    with tiers.database.transaction():
        view = store.read(tiers.database)
        before = view.place(endpoint)
        after = target(before, stage=stage, percent=percent)
        return planned(tiers, endpoint, view, after)


def planned(tiers: Tiers, endpoint: Endpoint, view: StageView, after: Place) -> Plan:
    """Return the plan of a move to a place, whatever the place is."""
    before = view.place(endpoint)
    gates: tuple[Gate, ...] = (fleet.database(tiers),)
    result = Plan(endpoint=endpoint, before=before, after=after, gates=gates, epoch=view.epoch)
    if not result.is_forward or not result.is_allowed:
        return result
    move = Move(
        tiers=tiers,
        endpoint=endpoint,
        before=before,
        after=after,
        view=view,
        row=rows(EndpointStage).filter(pk=endpoint).first(),
        now=tiers.clock.now(),
    )
    return replace(result, gates=gates + gates_of(move))


def next_of(place: Place) -> Place | None:
    """Return the next place forward; None: there is none."""
    if order_of(place)[1] < ALL:
        return Place(stage=place.stage, percent=ALL)
    if place.stage is Stage.COMPLETE:
        return None
    return Place(stage=place.stage.after, percent=ALL)


def target(
    before: Place, *, stage: Stage | None = None, percent: float | Decimal | None = None
) -> Place:
    """Return the place that is meant.

    A percentage alone is of the present stage while that has not all sessions; else of the next.

    Raises:
        MoveRefusedError: see `plan`.

    """
    following = next_of(before)
    if stage is None:
        if following is None:
            raise MoveRefusedError("It is at complete for all sessions: there is nothing after it.")
        stage = following.stage
    after = Place(stage=stage, percent=checked(stage, percent))
    if order_of(after) == order_of(before):
        raise MoveRefusedError(f"It is at {stage} for {before.percent:g} % already.")
    return after


def checked(stage: Stage, percent: float | Decimal | None) -> Decimal:
    """Return a percentage as it is kept: more than 0, at most 100, in hundredths.

    Raises:
        MoveRefusedError: it is none.

    """
    share = ALL if percent is None else round(Decimal(str(percent)), 2)
    if not 0 < share <= ALL:
        raise MoveRefusedError("A percentage is more than 0 and at most 100.")
    if stage is Stage.OFF and share != ALL:
        raise MoveRefusedError("An endpoint is at off for all sessions, or not at all.")
    return share

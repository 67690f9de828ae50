"""The way back: always open, with whatever else must come back, and nothing that is lost by it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from legacy_adapters.migration import catching_up as unmarked
from legacy_adapters.migration.gates.order import needed_of_all
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.moving import SLACK, OvertakenError, move, wait_for_writes
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.steering.planning import MoveRefusedError, checked, order_of
from legacy_adapters.models import EndpointStage
from legacy_adapters.tables import atomic, rows

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.view import StageView
    from legacy_adapters.models import StageChange
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Log:
    """What the history keeps of a move: see `StageChange`."""

    actor: str
    reason: str
    is_automatic: bool = False
    gates: tuple[dict[str, Any], ...] = ()

    def beside(self, endpoint: Endpoint) -> Log:
        """Return what it keeps of another that comes back with an endpoint."""
        return replace(self, reason=f"With {endpoint}: {self.reason}", is_automatic=False, gates=())


def go_back(
    tiers: Tiers,
    endpoint: Endpoint,
    stage: Stage | None,
    percent: float | Decimal | None,
    *,
    log: Log,
) -> StageChange:
    """Bring an endpoint back; see `operating.rollback`."""
    before = store.read(tiers.database).place(endpoint)
    after = _target(before, stage, percent)
    is_below = after.of_all.rank < Stage.LIVE.rank
    if is_below and unmarked.unmarked_since() is not None:
        before = _leave_complete(tiers, endpoint, before, log)
        unmarked.settle(tiers)
    return _move(tiers, endpoint, before, after, log, is_settled=is_below)


def _target(before: Place, stage: Stage | None, percent: float | Decimal | None) -> Place:
    if stage is None:
        stage = before.stage if percent is not None else before.stage.before
    after = Place(stage=stage, percent=checked(stage, percent))
    if order_of(after) >= order_of(before):
        raise MoveRefusedError(
            f"It is at {before.stage} for {before.percent:g} % of the sessions: that is no move "
            "back."
        )
    return after


def _leave_complete(tiers: Tiers, endpoint: Endpoint, before: Place, log: Log) -> Place:
    """Bring all that is at `complete` to `ramp_down`, where legacy is written, and not first yet.

    It must not come first while anybody still writes without it. Return where the endpoint is.
    """
    view = store.read(tiers.database)
    ramp_down = Place(stage=Stage.RAMP_DOWN, percent=Decimal(100))
    first = replace(log, is_automatic=False, gates=())
    for each in Endpoint:
        if view.place(each).stage is Stage.COMPLETE:
            told = first if each is endpoint else log.beside(endpoint)
            _move(tiers, each, view.place(each), ramp_down, told)
    return ramp_down if before.stage is Stage.COMPLETE else before


def _move(
    tiers: Tiers,
    endpoint: Endpoint,
    before: Place,
    after: Place,
    log: Log,
    *,
    is_settled: bool = False,
) -> StageChange:
    """Move it, and what must come with it; mark what was written without legacy, if anything was.

    Most of that before writes are kept out, and only the rest while they are. ``is_settled``: no
    more will be, and legacy may come first, whose newer state no such mark may overwrite.
    """
    since, began = unmarked.unmarked_since(), tiers.clock.now()
    if since is not None:
        unmarked.mark_changed(tiers, since)
    with atomic():
        wait_for_writes(tiers.database.alias)
        view = store.read(tiers.database)
        if view.place(endpoint) != before:
            raise OvertakenError
        for each, place in _with_it(view, endpoint, after).items():
            move(tiers, each, place.stage, place.percent, **asdict(log.beside(endpoint)))
        change = move(tiers, endpoint, after.stage, after.percent, **asdict(log))
        if since is not None:
            unmarked.mark_rest(tiers, began - SLACK, view)
            owing = rows(EndpointStage).filter(unmarked_since__isnull=False)
            owing.update(unmarked_since=None if is_settled else began - SLACK)
    return change


def _with_it(view: StageView, endpoint: Endpoint, after: Place) -> dict[Endpoint, Place]:
    """Return where others go that may not be as far as they are beside where it goes."""
    reached = after.of_all
    highest = Stage.DUAL_WRITE if reached is Stage.OFF else Stage.RAMP_DOWN
    return {
        each: Place(stage=highest, percent=Decimal(100))
        for each in Endpoint
        if each is not endpoint and reached.rank < needed_of_all(view.place(each).stage).rank
    }

"""The course of a migration in the model test: the moves a person may make, and what goes with them.

Gates that count comparisons have tests of their own; of these here the writes' safety hangs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.moving import move
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import WriteMark
from tests.migrating import table

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers
    from tests.migrating_model import Ledger, Process

NEEDS: Final = {Stage.SHADOW: Stage.DUAL_WRITE, Stage.COMPLETE: Stage.RAMP_DOWN}
"""What all endpoints have reached before one may enter a stage: the order gate."""


@dataclass
class Course:
    """Where the endpoints are, and which processes know.

    Attributes:
        is_backfilled: a whole backfill has begun since the last endpoint reached `dual_write`.
        backs: the epochs of the moves back: who has not seen one may read what is no more.

    """

    processes: list[Process]
    ledger: Ledger
    is_backfilled: bool = False
    backs: list[int] = field(default_factory=list)

    @property
    def tiers(self) -> Tiers:
        return self.processes[0].tiers

    def view(self) -> StageView:
        """Return the stages as they are."""
        return store.read(self.tiers.database)

    def all_at(self, stage: Stage) -> bool:
        """Tell whether every endpoint is at a stage or past it, for all sessions."""
        view = self.view()
        return all(view.place(each).of_all.rank >= stage.rank for each in Endpoint)

    def any_at(self, stage: Stage) -> bool:
        """Tell whether any endpoint is at a stage or past it, for any session."""
        view = self.view()
        return any(view.place(each).stage.rank >= stage.rank for each in Endpoint)

    def forward(self, endpoint: Endpoint, percent: int) -> None:
        """Widen an endpoint's stage, or go on to the next, if the gates allow it."""
        place = self.view().place(endpoint)
        stage = place.stage if percent > place.percent else place.stage.after
        if place.percent < 100 and stage is not place.stage:
            stage = place.stage  # for all sessions, before the next
            percent = 100
        if stage is not place.stage and not self._may_enter(stage):
            return
        if stage.rank >= Stage.LIVE.rank and self.ledger.behind:
            self.catch_up()
        for each in self.processes:
            each.refresh()
        self._move(endpoint, stage, percent)

    def _may_enter(self, stage: Stage) -> bool:
        needed = NEEDS.get(stage)
        if needed is not None and not self.all_at(needed):
            return False
        if stage is Stage.SHADOW:
            return self.is_backfilled
        if stage is Stage.COMPLETE:
            self.work()
        return True

    def back(self, endpoint: Endpoint, stage: Stage, percent: int) -> None:
        """Go back, as far as it is back."""
        place = self.view().place(endpoint)
        if (stage.rank, percent) >= (place.stage.rank, place.percent) or stage is Stage.OFF:
            return
        self._move(endpoint, stage, percent)
        self.backs.append(self.view().epoch)

    def off(self) -> None:
        """Take all endpoints back to the beginning, the furthest first."""
        view = self.view()
        for each in sorted(Endpoint, key=lambda each: -view.place(each).stage.rank):
            self._move(each, Stage.OFF, 100)
            self.backs.append(self.view().epoch)

    def _move(self, endpoint: Endpoint, stage: Stage, percent: int) -> None:
        move(self.tiers, endpoint, stage, percent, actor="tester", reason="a test")
        if not self.all_at(Stage.DUAL_WRITE):
            self.is_backfilled = False

    def catch_up(self) -> None:
        """Read the legacy table whole, as a backfill does."""
        backfill(table(), tiers=self.tiers)
        if self.all_at(Stage.DUAL_WRITE):
            self.is_backfilled = True
            self.ledger.behind.clear()

    def work(self) -> None:
        """Repair all that is marked, as the worker does."""
        for session_id in WriteMark.objects.values_list("session_id", flat=True):
            repair(self.tiers, session_id)
            self.ledger.behind.discard(session_id)

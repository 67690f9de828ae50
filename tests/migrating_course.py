"""The course of a migration in the model test: the moves that people make, and what goes with them.

The gates that count comparisons have tests of their own; the writes' safety hangs on these here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from legacy_adapters.migration import catching_up
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.migration.catching_up import UnsettledError
from legacy_adapters.migration.gates import order
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.moving import move
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.steering import operating
from legacy_adapters.migration.steering.planning import order_of
from legacy_adapters.models import EndpointStage, ProcessReport, StageChange, WriteMark
from tests.migrating import table

if TYPE_CHECKING:
    from decimal import Decimal

    import pytest

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers
    from tests.migrating_model import Ledger, Process

ALL = 100


@dataclass
class Course:
    """Where the endpoints are, and which processes know.

    Attributes:
        is_backfilled: a whole backfill has begun since an endpoint came to `dual_write` last.
        backs: the epochs of the moves back: who has not seen one may read what is no more.

    """

    processes: list[Process]
    ledger: Ledger
    is_backfilled: bool = False
    backs: list[int] = field(default_factory=list)

    def begin_at(self, stage: Stage) -> None:
        """Begin in an empty shop, where there is nothing to be brought over."""
        for model in (EndpointStage, StageChange, WriteMark, ProcessReport):
            model.objects.all().delete()
        for each in self.processes:
            each.view = None
        if stage is not Stage.OFF:
            for endpoint in Endpoint:
                self._move(endpoint, stage, ALL)
        self.is_backfilled = stage is not Stage.OFF

    @property
    def tiers(self) -> Tiers:
        return self.processes[0].tiers

    def view(self) -> StageView:
        """Return the stages as they are."""
        return store.read(self.tiers.database)

    def all_at(self, stage: Stage) -> bool:
        """Tell whether every endpoint is at a stage or past it, for all sessions."""
        return not order.behind(self.view(), stage)

    def keeps_both_sides(self) -> bool:
        """Tell whether everything is on both sides, once repair has drained."""
        stages = [self.view().place(each).stage for each in Endpoint]
        is_written = self.all_at(Stage.DUAL_WRITE) and Stage.COMPLETE not in stages
        return is_written and self.is_backfilled

    def forward(self, endpoint: Endpoint, percent: int) -> None:
        """Widen an endpoint's stage, or go on to the next, if the gates allow it."""
        view = self.view()
        before = view.place(endpoint)
        after = Place(stage=before.stage, percent=max(percent, before.percent))
        if before.percent >= ALL:
            after = Place(stage=before.stage.after, percent=percent)
        if order_of(after) <= order_of(before) or not self._may_move(endpoint, after):
            return
        if after.stage.rank >= Stage.LIVE.rank and self.ledger.behind:
            self.catch_up()
        self.tell_all()
        self._move(endpoint, after.stage, after.percent)
        if after.stage is Stage.DUAL_WRITE:
            self.is_backfilled = False

    def go_live(self) -> None:
        """Bring all endpoints from wherever to `live`, with nothing but what must be."""
        for stage in (Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE):
            for each in Endpoint:
                self._move(each, stage, ALL)
            if stage is Stage.DUAL_WRITE:
                self.catch_up()
            self.tell_all()

    def _move(self, endpoint: Endpoint, stage: Stage, percent: float | Decimal) -> None:
        move(self.tiers, endpoint, stage, percent, actor="tester", reason="a test")

    def _may_move(self, endpoint: Endpoint, after: Place) -> bool:
        wanted = operating.plan(self.tiers, endpoint, stage=after.stage, percent=after.percent)
        if any(each.name == "order" for each in wanted.shut):
            return False
        if after.stage is Stage.COMPLETE:
            self.work()
        return after.stage is not Stage.SHADOW or self.is_backfilled

    def back(self, endpoint: Endpoint, stage: Stage, percent: int = ALL) -> None:
        """Go back, if that is back; from `complete` once everybody has heard of the way out."""
        percent = ALL if stage is Stage.OFF else percent
        while order_of(self.view().place(endpoint)) > (stage.rank, percent):
            self._report()
            try:
                operating.rollback(
                    self.tiers,
                    endpoint,
                    stage=stage,
                    percent=percent,
                    actor="tester",
                    reason="a test",
                )
            except UnsettledError:
                self.tell_all()
            self.backs.append(self.view().epoch)

    def tell_all(self) -> None:
        """Have every process see the stages as they are: the fleet gate."""
        for each in self.processes:
            each.refresh()

    def _report(self) -> None:
        """Say for each process what it has seen last; one that has not looked yet says nothing."""
        now = self.tiers.clock.now()
        ProcessReport.objects.all().delete()
        ProcessReport.objects.bulk_create(
            ProcessReport(
                id=each.id,
                name="web",
                host="here",
                pid=1,
                epoch=each.view.epoch,
                started_at=now,
                reported_at=now,
            )
            for each in self.processes
            if each.view is not None
        )

    def catch_up(self) -> None:
        """Read the legacy table whole, as a backfill does."""
        backfill(table(), tiers=self.tiers)
        self.is_backfilled = True
        self.ledger.behind.clear()

    def work(self) -> None:
        """Repair all that is marked, or should be, as the task does."""
        self._report()
        catching_up.catching_up(self.tiers)
        for session_id in WriteMark.objects.values_list("session_id", flat=True):
            repair(self.tiers, session_id)
            self.ledger.behind.discard(session_id)


def no_grace(patch: pytest.MonkeyPatch) -> None:
    """Wait for nothing that is under way: here nothing is."""
    patch.setattr(catching_up, "_grace", lambda: timedelta(0))

"""The operator of a shop that is being moved."""

from __future__ import annotations

import time
from collections import Counter
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from django.core.management import call_command

from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.steering import operating
from sessions_unified.tiers import get_tiers
from tests.migration_accounts import wait_until_accounted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from legacy_adapters.migration.steering.operating import EndpointStatus

ACTOR: Final = "tester"
REASON: Final = "a journey"
REFUSALS: Final = (GatesShutError, operating.MovingTimeoutError, operating.UnsettledError)
BOTH_WRITTEN: Final = (Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN)


class Operator:
    """Moves the endpoints by the same door as the commands, when the gates let them.

    Attributes:
        moves: how many were made.
        caught_up: how often what was written unmarked was brought over.
        shut: gates, and whatever else kept a move waiting → how often it was asked in vain.
        waited: stage → seconds until the moves there were made.

    """

    def __init__(self, *, patience_seconds: float = 120) -> None:
        self.moves = self.caught_up = 0
        self.shut: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()
        self._patience_seconds = patience_seconds

    def advance(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        """Go on to a stage as soon as its gates open."""
        self._move(operating.advance, endpoint, stage=stage, percent=percent)

    def advance_all(self, stage: Stage, *, but: Endpoint | None = None) -> None:
        for endpoint in Endpoint:
            if endpoint is not but:
                self.advance(endpoint, stage=stage)

    def rollback(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        """Go back, as soon as the writes under way let it."""
        self._move(operating.rollback, endpoint, stage=stage, percent=percent)

    def _move(self, move: Callable[..., object], endpoint: Endpoint, **where: Any) -> None:
        """Ask until it is done."""
        began = time.monotonic()
        while True:
            try:
                move(get_tiers(), endpoint, **where, actor=ACTOR, reason=REASON)
            except REFUSALS as exc:
                names = [each.name for each in getattr(exc, "gates", ())] or [type(exc).__name__]
                self.shut.update(names)
                if time.monotonic() - began > self._patience_seconds:
                    raise
            else:
                self.moves += 1
                self.waited[where["stage"]] += time.monotonic() - began
                return
            time.sleep(0.1)

    def rollback_all(self, stage: Stage) -> None:
        """Bring back those that have not come along with another yet."""
        for endpoint in Endpoint:
            if self.status(endpoint).stage.rank > stage.rank:
                self.rollback(endpoint, stage=stage)

    @staticmethod
    def status(endpoint: Endpoint) -> EndpointStatus:
        return next(each for each in operating.statuses(get_tiers()) if each.endpoint == endpoint)

    @staticmethod
    def backfill(**given: Any) -> None:
        call_command("backfill_sessions", source="database", stdout=StringIO(), **given)

    def catch_up(self, outages: Sequence[tuple[datetime, datetime]]) -> None:
        """Bring over what was written unmarked while our database was away, and look at it all."""
        wait_until_accounted(outages)
        self.backfill(since="last")
        self.caught_up += 1
        wait_until_accounted()

    @staticmethod
    def is_marking() -> bool:
        """Tell whether sessions are written on both sides, so that some will be marked."""
        stages = {each.stage for each in operating.statuses(get_tiers())}
        return bool(stages & set(BOTH_WRITTEN))

    @staticmethod
    def is_writing_both() -> bool:
        """Tell whether every endpoint writes both sides, for all sessions."""
        return {each.stage for each in operating.statuses(get_tiers())} <= set(BOTH_WRITTEN)

    @staticmethod
    def is_before_live() -> bool:
        """Tell whether the legacy store is written first, of every session."""
        return all(each.stage.rank < Stage.LIVE.rank for each in operating.statuses(get_tiers()))

    @staticmethod
    def is_legacy_first() -> bool:
        """Tell whether the legacy store is written first, of any session."""
        places = [(each.stage, each.percent) for each in operating.statuses(get_tiers())]
        return any(
            stage.rank < Stage.LIVE.rank or (stage is Stage.LIVE and percent < 100)
            for stage, percent in places
        )

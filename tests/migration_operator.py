"""The operator of a shop that is being moved."""

from __future__ import annotations

import time
from collections import Counter
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from django.core.management import call_command

from legacy_adapters.migration import operating
from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages.names import Endpoint, Stage
from sessions_unified.tiers import get_tiers
from tests.migration_accounts import disagreements

if TYPE_CHECKING:
    from legacy_adapters.migration.operating import EndpointStatus

ACTOR: Final = "tester"
REASON: Final = "a journey"
BOTH_WRITTEN: Final = (Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN)


class Operator:
    """Moves the endpoints by the same door as the commands, when the gates let them."""

    def __init__(self, *, patience_seconds: float = 120) -> None:
        self.moves = self.caught_up = 0
        self.shut: Counter[str] = Counter()
        self._patience_seconds = patience_seconds

    def advance(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        """Go on to a stage as soon as its gates open."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                operating.advance(
                    get_tiers(),
                    endpoint,
                    stage=stage,
                    percent=percent,
                    actor=ACTOR,
                    reason=REASON,
                )
            except GatesShutError as exc:
                self.shut.update(each.name for each in exc.gates)
                if time.monotonic() > deadline:
                    raise
            except operating.MovingTimeoutError:
                self.shut["writes under way"] += 1
            else:
                self.moves += 1
                return
            time.sleep(0.1)

    def advance_all(self, stage: Stage, *, but: Endpoint | None = None) -> None:
        for endpoint in Endpoint:
            if endpoint is not but:
                self.advance(endpoint, stage=stage)

    def rollback(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        """Go back, as soon as the writes under way let it."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                operating.rollback(
                    get_tiers(),
                    endpoint,
                    stage=stage,
                    percent=percent,
                    actor=ACTOR,
                    reason=REASON,
                )
            except (operating.MovingTimeoutError, operating.UnsettledError) as exc:
                self.shut[type(exc).__name__] += 1
                if time.monotonic() > deadline:
                    raise
            else:
                self.moves += 1
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

    def catch_up(self) -> None:
        """Bring over what was written unmarked while our database was away, and look at it all."""
        self.backfill(since="last")
        self.caught_up += 1
        deadline = time.monotonic() + self._patience_seconds
        while left := disagreements():
            assert time.monotonic() < deadline, left  # what is marked is still to be repaired

    @staticmethod
    def is_marking() -> bool:
        """Tell whether sessions are written on both sides, so that some will be marked."""
        stages = {each.stage for each in operating.statuses(get_tiers())}
        return bool(stages & set(BOTH_WRITTEN))

    @staticmethod
    def is_legacy_first() -> bool:
        """Tell whether the legacy store is written first, of any session."""
        places = [(each.stage, each.percent) for each in operating.statuses(get_tiers())]
        return any(
            stage.rank < Stage.LIVE.rank or (stage is Stage.LIVE and percent < 100)
            for stage, percent in places
        )

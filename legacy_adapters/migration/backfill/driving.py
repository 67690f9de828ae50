"""Carries a run through from a terminal: here, or by processes of its own, and watches them."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.backfill import processes, slices
from legacy_adapters.migration.backfill.pace import Throttle, backfill_pacer
from legacy_adapters.migration.backfill.reporting import tally_of
from legacy_adapters.migration.backfill.working import Worker
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep.load import observe_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.migration.backfill.working import WorkEnding
    from legacy_adapters.models import BackfillRun
    from sessions_unified.upkeep.pacing import Ending

_SECONDS_BETWEEN_NOTES: Final = 10.0


@dataclass(kw_only=True)
class Driver:
    """How to carry a run through.

    Attributes:
        rests: keep the pacer's rests.
        advance: told how many more records were read.
        warn: told what a person should know of.

    """

    run: BackfillRun
    adapter: LegacyAdapter
    workers: int
    rests: bool
    is_stopped: Callable[[], bool]
    advance: Callable[[int], object]
    warn: Callable[[str], object]

    def __post_init__(self) -> None:
        self._looked_at = time.monotonic()

    def drive(self, *, limit: int | None = None) -> Ending | WorkEnding:
        """Work until nothing is left that can be done here; say why it ended.

        ``done``, ``stopped``, ``held``, ``limit``; whether the run is finished, or paused, the run
        itself knows.
        """
        if self.workers == 1:
            return self._alone(limit)
        return self._together()

    def _alone(self, limit: int | None) -> Ending | WorkEnding:
        tiers = get_tiers()
        throttle = Throttle(self.run.rows_per_second, is_stopped=self.is_stopped)
        pacer = backfill_pacer(
            tiers,
            throttle,
            largest=self.run.batch_size,
            is_stopped=self.is_stopped,
            rests=self.rests,
        )
        worker = Worker(
            run=self.run,
            adapter=self.adapter,
            tiers=tiers,
            name=f"{os.getpid()}-{secrets.token_hex(4)}",
            pacer=pacer,
            throttle=throttle,
            limit=limit,
            advance=self._tell,
        )
        return worker.work()

    def _together(self) -> Ending | WorkEnding:
        shown = tally_of(self.run).read
        with processes.started(
            self.run.pk,
            workers=self.workers,
            rows_per_second=self.run.rows_per_second,
            rests=self.rests,
        ) as crew:
            working = dict(crew)
            while working and not self.is_stopped():
                for name in processes.wait(working):
                    self._bury(name, working.pop(name))
                read = tally_of(self.run).read
                self._tell(read - shown)
                shown = read
        if self.is_stopped():
            return "stopped"
        return "held" if observe_database(get_tiers()).is_held else "done"

    def _tell(self, number: int) -> None:
        """Say how far the work is, and now and then why it is slow."""
        self.advance(number)
        if time.monotonic() - self._looked_at >= _SECONDS_BETWEEN_NOTES:
            self._looked_at = time.monotonic()
            trouble = observe_database(get_tiers()).trouble
            if self.rests and trouble is not None:
                self.warn(f"The database is busy, so this goes slowly: {trouble}")

    def _bury(self, name: str, process: SpawnProcess) -> None:
        """Give the others what a dead worker had claimed."""
        if process.exitcode:
            slices.release_all(self.run, name)
            how = "was killed" if process.exitcode < 0 else "failed"
            self.warn(f"{process.name.capitalize()} {how}; the others go on.")

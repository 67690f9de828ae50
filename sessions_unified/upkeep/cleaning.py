"""Whole runs of cleanup: batch after batch under a pacer. For the beat tasks and the command.

One run at a time does scheduled cleaning: each batch holds one advisory lock until its commit,
and a run that finds it taken leaves. Were two to slip past each other, SKIP LOCKED still keeps
them from doing the same work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from sessions_unified import touches
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.metrics import CLEANED
from sessions_unified.upkeep import sweeping
from sessions_unified.upkeep.load import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sessions_unified.tiers import Tiers
    from sessions_unified.upkeep.pacing import Ending, Pacer
    from sessions_unified.upkeep.sweeping import Batch

logger = logging.getLogger(__name__)

_CLEANER: Final = 1


class _Work(Protocol):
    """Cleans up to ``size`` from ``start`` on, in one transaction."""

    def __call__(self, size: int, start: datetime | None) -> Batch: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run did.

    Attributes:
        done: rows changed.
        ended_by: ``done``: nothing is left; ``another`` cleaner is at work; or the pacer's reason.

    """

    done: int
    ended_by: Ending | Literal["done", "another"]


@dataclass(frozen=True, kw_only=True)
class Cleaner:
    """Who cleans, and how.

    Attributes:
        pacer: sets size and speed; several runs may share it.
        actor: who the events name.
        waits: wait for another cleaner's batch instead of leaving: a person wants it done now.
        advance: told after each batch how many rows it changed.

    """

    tiers: Tiers
    pacer: Pacer
    actor: str = "system"
    waits: bool = False
    advance: Callable[[int], None] = lambda _: None

    def settle(self) -> Run:
        """Settle the sessions that are past their end now, touches until now counted.

        While touches cannot be read and written, sessions that one might keep alive are left.
        """
        now = self.tiers.clock.now()
        spares_idle = not self._flush_touches()

        def work(size: int, start: datetime | None) -> Batch:
            return sweeping.settle_batch(
                self.tiers,
                size=size,
                now=now,
                actor=self.actor,
                start=start,
                spares_idle=spares_idle,
            )

        return self._run("settle", work)

    def purge(self) -> Run:
        """Replace the sessions past the retention period by tombstones."""
        return self._run(
            "purge",
            lambda size, start: sweeping.purge_batch(
                self.tiers, size=size, actor=self.actor, start=start
            ),
        )

    def drop_events(self) -> Run:
        """Drop the events of sessions that ended longer ago than events are kept."""
        return self._run(
            "events",
            lambda size, start: sweeping.events_batch(self.tiers, size=size, start=start),
        )

    def _flush_touches(self) -> bool:
        try:
            touches.flush_touches(self.tiers)
        except TierUnavailableError as exc:
            logger.warning("Sessions with an idle limit are not settled for now: %s", exc)
            return False
        return True

    def _run(self, name: str, work: _Work) -> Run:
        """Work until a pass finds nothing more.

        A pass remembers where the batch before ended: the index still holds what that one has
        changed, and reading it again in each batch would cost more than the work. What others had
        locked behind that place is met by one last pass from the start.
        """
        done, start, is_last_pass = 0, None, False
        for size in self.pacer.sizes():
            batch = self._batch(work, size, start)
            if batch is None:
                return Run(done=done, ended_by="another")
            done += batch.done
            CLEANED.labels(name).inc(batch.done)
            self.advance(batch.done)
            if batch.found >= size:
                start = batch.ended_at
            elif start is None or is_last_pass:
                return Run(done=done, ended_by="done")
            else:
                start, is_last_pass = None, True
        return Run(done=done, ended_by=self.pacer.ended_by or "done")

    def _batch(self, work: _Work, size: int, start: datetime | None) -> Batch | None:
        with self.tiers.database.transaction():
            return work(size, start) if self._is_our_turn() else None

    def _is_our_turn(self) -> bool:
        take = "SELECT pg_advisory_xact_lock" if self.waits else "SELECT pg_try_advisory_xact_lock"
        ((taken,),) = self.tiers.database.query(f"{take}(%s, %s)", [LOCKS, _CLEANER])
        return taken is not False

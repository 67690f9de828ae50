"""The pace of a backfill: the one pacer of cleanup and backfill, and a person's own limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sessions_unified.conf import get_conf
from sessions_unified.upkeep.load import observe_database
from sessions_unified.upkeep.pacing import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.tiers import Tiers
    from sessions_unified.upkeep.load import Condition

_LOOK_SECONDS: Final = 0.2  # a rest looks this often whether to stop


class Throttle:
    """Lets ``rows_per_second`` through, and no saved-up time; None: all.

    Attributes:
        most: how many rows a batch may have: one second's worth.

    """

    def __init__(
        self,
        rows_per_second: float | None,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = rows_per_second
        self._is_stopped = is_stopped
        self._monotonic = monotonic
        self._sleep = sleep
        self._began = monotonic()
        self._free_at = self._began
        self.most = None if rows_per_second is None else max(1, int(rows_per_second))

    def wait(self) -> None:
        """Sleep until the next batch may begin, or a stop."""
        while (left := self._free_at - self._monotonic()) > 0 and not self._is_stopped():
            self._sleep(min(left, _LOOK_SECONDS))
        self._began = self._monotonic()

    def spend(self, rows: int) -> None:
        """Count what was read since `wait`."""
        if self._rate is not None:
            self._free_at = max(self._free_at, self._began) + rows / self._rate


def backfill_pacer(
    tiers: Tiers,
    throttle: Throttle,
    *,
    largest: int,
    is_stopped: Callable[[], bool] = lambda: False,
    rests: bool = True,
    limit_seconds: float | None = None,
) -> Pacer:
    """Return the pacer that cleanup has, held back by ``throttle`` before each batch."""

    def observe() -> Condition:
        # Here, because a rest that is no work must not count as a slow batch.
        throttle.wait()
        return observe_database(tiers)

    return Pacer(
        largest=min(largest, throttle.most or largest),
        batch_seconds=get_conf().CLEANUP_BATCH_SECONDS,
        observe=observe,
        limit_seconds=limit_seconds,
        is_stopped=is_stopped,
        rests=rests,
    )

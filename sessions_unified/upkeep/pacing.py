"""One pacer for work in batches: small enough, rested, and slower when the database is busy.

Cleanup (`sessions_unified.upkeep.cleaning`) runs under it, and all that goes through many rows.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from django.db import connections

from sessions_unified.conf import get_conf
from sessions_unified.metrics import CLEANING_SECONDS
from sessions_unified.upkeep.load import HOLD, LOCKS, Condition, observe_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.tiers import Tiers

_FIRST: Final = 500
_SMALLEST: Final = 50
_GROWTH: Final = 1.5
_REST_SHARE: Final = 0.25
_SHORTEST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 5.0
_SLICE: Final = 0.2  # a rest looks this often whether to stop

Ending = Literal["stopped", "time", "held"]


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311  (keeps two cleaners from marching in step)


class Pacer:
    """Yields the size of each next batch (`sizes`), and rests between them.

    A batch should take ``batch_seconds``: a slower one halves the next, one of less than half
    that time lets it grow by half. After each it rests a quarter of the time that the batch
    took. While the database is busy the rests double up to 5 s and the batches halve, but the
    work never stops altogether. With ``rests=False`` all of that is left out.

    Attributes:
        size: of the next batch.
        trouble: why the database was found busy before the last batch.
        ended_by: why `sizes` ended: ``stopped``, ``time``, ``held`` (by `hold`); None until then.

    """

    def __init__(
        self,
        *,
        largest: int,
        batch_seconds: float,
        observe: Callable[[], Condition] = Condition,
        limit_seconds: float | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        rests: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self.size = min(_FIRST, largest) if rests else largest
        self.trouble: str | None = None
        self.ended_by: Ending | None = None
        self._largest = largest
        self._batch_seconds = batch_seconds
        self._observe = observe
        self._is_stopped = is_stopped
        self._rests = rests
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._backoff = 0.0
        self._ends_at = None if limit_seconds is None else monotonic() + limit_seconds

    def sizes(self) -> Iterator[int]:
        """Yield sizes until the time, counted from the pacer's making, is over, or a stop."""
        while self._goes_on():
            began = self._monotonic()
            try:
                yield self.size
            finally:
                took = self._monotonic() - began
                CLEANING_SECONDS.labels("working").inc(took)
            if self._rests:
                self._adapt(took)
                self._rest(took * _REST_SHARE)

    def _goes_on(self) -> bool:
        self.ended_by = self._ending()
        if self.ended_by is None:
            condition = self._observe()
            self.trouble = condition.trouble
            if condition.is_held:
                self.ended_by = "held"
            elif self._rests:
                self._back_off()
                self.ended_by = self._ending()
        return self.ended_by is None

    def _ending(self) -> Ending | None:
        if self._is_stopped():
            return "stopped"
        if self._ends_at is not None and self._monotonic() >= self._ends_at:
            return "time"
        return None

    def _adapt(self, took: float) -> None:
        if took > self._batch_seconds:
            self._shrink()
        elif took < self._batch_seconds / 2:
            self.size = min(self._largest, int(self.size * _GROWTH) + 1)

    def _shrink(self) -> None:
        self.size = max(min(_SMALLEST, self._largest), self.size // 2)

    def _back_off(self) -> None:
        if self.trouble is not None:
            self._shrink()
            self._backoff = min(max(self._backoff * 2, _SHORTEST_BACKOFF), _LONGEST_BACKOFF)
        else:
            halved = self._backoff / 2
            self._backoff = halved if halved >= _SHORTEST_BACKOFF else 0.0
        waited = self._rest(self._backoff)
        CLEANING_SECONDS.labels("waiting").inc(waited)

    def _rest(self, seconds: float) -> float:
        """Sleep, in slices: a stop is heeded soon. Return how long."""
        began = self._monotonic()
        until = began + seconds * self._jitter()
        while (left := until - self._monotonic()) > 0 and self._ending() is None:
            self._sleep(min(left, _SLICE))
        return self._monotonic() - began


def database_pacer(
    tiers: Tiers,
    *,
    largest: int | None = None,
    limit_seconds: float | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    rests: bool = True,
) -> Pacer:
    """Return a pacer by the settings that watches the sessions' database.

    ``rests=False`` takes the largest batches, one after the other; a hold still ends it.
    """
    conf = get_conf()
    return Pacer(
        largest=largest or conf.CLEANUP_BATCH_SIZE,
        batch_seconds=conf.CLEANUP_BATCH_SECONDS,
        observe=lambda: observe_database(tiers),
        limit_seconds=limit_seconds,
        is_stopped=is_stopped,
        rests=rests,
    )


@contextmanager
def hold(tiers: Tiers) -> Iterator[Callable[[], None]]:
    """Hold every paced run, in all processes, until the block ends or this process does.

    The hold is an advisory lock of an open transaction: it works with Redis down, and nobody can
    forget to take it back. Yields a function to call now and then, which raises
    `DatabaseUnavailableError` when the hold is lost.
    """
    alias = tiers.database.alias
    with tiers.database.transaction(), connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, HOLD])
        yield lambda: cursor.execute("SELECT 1")


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C (or SIGTERM) was pressed: finish what is under way, then stop.

    The second time it interrupts as ever. Outside the main thread nothing is caught.
    """
    wanted = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def want(*_: object) -> None:
        nonlocal wanted
        wanted = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, want) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: wanted
    finally:
        restore()

"""Differences that wait for their second look."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 5_000
"""How many may wait; then the first of them is waited for."""


class Waiting:
    """A queue of ids, each of which may leave it after so many seconds, ``size`` at a time."""

    def __init__(
        self,
        *,
        seconds: float,
        size: int,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._size = size
        self._sleep = sleep
        self._monotonic = monotonic
        self._queue: deque[tuple[float, str]] = deque()

    def add(self, session_id: str) -> None:
        """Let it wait from now on."""
        self._queue.append((self._monotonic(), session_id))

    def due(self, *, everything: bool = False) -> list[str]:
        """Take out some that have waited long enough; none: nobody has.

        With ``everything``, or once too many wait, it sleeps until the first of them has.
        """
        if not self._queue:
            return []
        ready_in = self._queue[0][0] + self._seconds - self._monotonic()
        if ready_in > 0:
            if not everything and len(self._queue) < _MOST:
                return []
            self._sleep(ready_in)
        limit = self._monotonic() - self._seconds
        taken = [self._queue.popleft()[1]]  # it has been waited for, whatever the clock says
        while self._queue and self._queue[0][0] <= limit and len(taken) < self._size:
            taken.append(self._queue.popleft()[1])
        return taken

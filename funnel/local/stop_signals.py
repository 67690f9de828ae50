"""Ctrl-C and its kin: the first asks to stop in order, the second ends everything at once."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Self

from funnel.local.child import kill_recorded
from funnel.local.exceptions import StopRequestedError

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Whether the person at the terminal (or the system) has asked to stop.

    A flag rather than an exception, which could come between a child's start and our note of it.

    Attributes:
        records: where the children's process records are; a second signal kills them all.
        requested: a first signal has come.

    """

    def __init__(self, records: Path) -> None:
        self.records = records
        self.requested = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_requested(self) -> None:
        """Leave what is being done, if a signal has come.

        Raises:
            StopRequestedError: one has.

        """
        if self.requested:
            raise StopRequestedError

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            kill_recorded(self.records)
            sys.stderr.write("\nKilled.\n")
            os._exit(128 + number)
        self.requested = True

"""A thread that looks after this process: the clock's offset, the database's health, its counts.

Off every request's path: a process that serves nothing but cached reads notices here that the
database is gone, and says so in its answers; and no shopper waits while the clock is set.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from django.db import connections

from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.monitoring.pool_stats import count_pool
from sessions_unified.postgres import database_budget

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers

_PATIENCE_SECONDS: Final = 2.0  # a server that hangs is as good as none

logger = logging.getLogger(__name__)


class Watch:
    """Runs every ``seconds``, from the first read on; zero: never."""

    def __init__(self, tiers: Tiers, *, seconds: float) -> None:
        self._tiers = tiers
        self._seconds = seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start watching, once."""
        if self._thread is None and self._seconds:
            self._start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def start_afresh(self) -> None:
        """Forget the parent's thread in a child after fork: the next read starts one."""
        self._lock = threading.Lock()
        self._thread = None
        self._stop = threading.Event()

    def look(self) -> None:
        """Look once."""
        if self._tiers.memory is not None:
            self._tiers.memory.drain_metrics()
        count_pool()
        with database_budget(_PATIENCE_SECONDS):
            try:
                self._tiers.database.ping()
            except DatabaseUnavailableError:
                return  # counted, and the breaker knows
            self._tiers.clock.measure()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="sessions-watch", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.look()
            except Exception:  # the next look may see more
                logger.exception("The watch failed")
            finally:
                connections.close_all()  # this thread's: back to the pool

"""The thread that keeps what this process knows of the stages fresh, and reports what it has seen.

Off every request's path. What it reports is what the process's reads go by from then on: a stage
change waits for all of them (`fleet`).
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import connections

from legacy_adapters.migration.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.postgres import database_budget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from legacy_adapters.migration.stages.cache import StageCache
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 2.0  # a server that hangs is as good as none
_HUNG_SECONDS: Final = 3 * _PATIENCE_SECONDS
_REPORTS_IN_TIME: Final = 3  # of so many reports in the time-out one must arrive
_KEPT: Final = timedelta(hours=1)

_REPORT: Final = (
    "INSERT INTO legacy_adapters_processreport "
    "(id, name, host, pid, epoch, started_at, reported_at) VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, reported_at = excluded.reported_at "
    "RETURNING 1"
)
_CLEAN: Final = "DELETE FROM legacy_adapters_processreport WHERE reported_at < %s RETURNING 1"
_LEAVE: Final = "DELETE FROM legacy_adapters_processreport WHERE id = %s RETURNING 1"


def process_name(argv: Sequence[str]) -> str:
    """Return the program, or for ``manage.py`` its command: nothing that is secret."""
    program = Path(argv[0]) if argv else Path("python")
    name = program.parent.name if program.name == "__main__.py" else program.name
    if name == "manage.py" and len(argv) > 1 and not argv[1].startswith("-"):
        name = argv[1]
    return name[:64]


class Follower:
    """Looks at the stages every ``STAGE_CACHE_SECONDS``; zero: never.

    It reports whenever they have changed, and often enough not to be taken for gone. At a clean
    exit it takes its report back.
    """

    def __init__(self, cache: StageCache) -> None:
        self._cache = cache
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget the parent's thread in a child after fork: the next look starts one."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._turned_at = 0.0
        self._reported: tuple[int, float] | None = None
        self._started_at: datetime | None = None
        self.id = uuid.uuid4()

    @property
    def is_well(self) -> bool:
        """Whether the thread runs, and has not been hanging for long."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return False
        limit = get_conf().STAGE_CACHE_SECONDS + _HUNG_SECONDS
        return time.monotonic() - self._turned_at < limit

    def start(self, tiers: Tiers) -> None:
        """Start the thread, unless it runs, or nothing is cached."""
        if not get_conf().STAGE_CACHE_SECONDS:
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._turned_at = time.monotonic()
                self._thread = threading.Thread(
                    target=self._run, args=(tiers, self._stop), name="legacy-stages", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread; it takes its report back."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_PATIENCE_SECONDS)
        self.start_afresh()

    def turn(self, tiers: Tiers) -> None:
        """Look at the stages once, and report where that is due."""
        with database_budget(_PATIENCE_SECONDS):
            try:
                view = self._cache.refresh(tiers)
                if self._is_due(view.epoch):
                    self._report(tiers, view.epoch)
            except TierUnavailableError:
                return  # reads go on by what was seen last; the next turn comes soon

    def _is_due(self, epoch: int) -> bool:
        if self._reported is None or self._reported[0] != epoch:
            return True
        pause = get_conf().PROCESS_TIMEOUT_SECONDS / _REPORTS_IN_TIME
        return time.monotonic() - self._reported[1] >= pause

    def _report(self, tiers: Tiers, epoch: int) -> None:
        now = tiers.clock.now()
        self._started_at = self._started_at or now
        process = [self.id, process_name(sys.argv), socket.gethostname()[:255], os.getpid()]
        tiers.database.fetch(_REPORT, [*process, epoch, self._started_at, now])
        self._reported = (epoch, time.monotonic())
        tiers.database.fetch(_CLEAN, [now - _KEPT])

    def _run(self, tiers: Tiers, stop: threading.Event) -> None:
        process = self.id
        while not stop.is_set():
            try:
                self.turn(tiers)
            except Exception:  # the next turn may do better; reads go by what was seen last
                logger.exception("The stages could not be followed")
            finally:
                connections.close_all()  # this thread's: back to the pool
            self._turned_at = time.monotonic()
            stop.wait(get_conf().STAGE_CACHE_SECONDS or 1)
        _leave(tiers, process)


def _leave(tiers: Tiers, process: uuid.UUID) -> None:
    """Take the report back; one that cannot be is out of date soon."""
    with suppress(Exception), database_budget(_PATIENCE_SECONDS):
        tiers.database.fetch(_LEAVE, [process])
    connections.close_all()


def stop_at_exit(follower: Follower) -> None:
    """Have a process that ends take its report back."""
    atexit.register(follower.stop)

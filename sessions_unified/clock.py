"""One clock for the whole core: the database's time, by a measured offset.

Hosts' clocks disagree; expiry and the age of copies must not. Rule 7 of `manager`.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from functools import cache

from django.core.signals import setting_changed
from django.db import Error as DatabaseError
from django.db import connections
from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf

logger = logging.getLogger(__name__)

_REMEASURE_SECONDS = 60.0
_RETRY_SECONDS = 30.0  # an unreachable database makes its asker wait: rarely
_JUMP_SECONDS = 1.0


class Clock(ABC):
    """The time that every rule of the core reads."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the database's present time, aware, in UTC."""


class DatabaseClock(Clock):
    """The database's time without asking it at every call.

    The offset is measured against this host's monotonic clock once a minute, and again when the
    host's wall clock moved against it (a step, or a suspended machine). While the database does
    not answer the last offset stands; before the first answer the host's own clock does.
    """

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._lock = threading.Lock()
        self._base: tuple[datetime, float, float] | None = None  # db time, monotonic, wall - mono
        self._retry_at = 0.0

    def now(self) -> datetime:
        """Return the database's present time, aware, in UTC."""
        mono = time.monotonic()
        if self._is_stale(mono) and self._lock.acquire(blocking=False):
            try:
                self._measure()
            finally:
                self._lock.release()
        base = self._base
        if base is None:
            return datetime.now(UTC)
        return base[0] + timedelta(seconds=time.monotonic() - base[1])

    def _is_stale(self, mono: float) -> bool:
        if mono < self._retry_at:
            return False
        if self._base is None:
            return True
        _, measured, gap = self._base
        jumped = abs((time.time() - mono) - gap) > _JUMP_SECONDS
        return jumped or mono - measured > _REMEASURE_SECONDS

    def _measure(self) -> None:
        connection = connections[self._alias]
        if connection.needs_rollback:
            return
        try:
            with connection.cursor() as cursor:
                before = time.monotonic()
                cursor.execute("SELECT clock_timestamp()")
                (answer,) = cursor.fetchone()
                after = time.monotonic()
        except DatabaseError as exc:
            logger.warning("The database's time could not be read: %s", type(exc).__name__)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return
        middle = (before + after) / 2
        self._base = (answer.astimezone(UTC), middle, time.time() - time.monotonic())


@cache
def get_clock() -> Clock:
    """Return this process's clock, of the class that ``CLOCK`` names."""
    conf = get_conf()
    clock_class: type[Clock] = import_string(conf.CLOCK)
    if issubclass(clock_class, DatabaseClock):
        return clock_class(conf.DATABASE_ALIAS)
    return clock_class()


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SESSIONS_UNIFIED", "DATABASES"}:
        get_clock.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.clock")

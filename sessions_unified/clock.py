"""One clock for the whole core: the database's time, by a measured offset.

Hosts' clocks disagree; expiry and the age of copies must not. Rule 7 of `manager`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Final

from django.core.signals import setting_changed
from django.db import Error as DatabaseError
from django.db import connections
from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf

logger = logging.getLogger(__name__)

_TRUST_SECONDS: Final = 60.0
_SLOW_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 30.0  # an unreachable database makes its asker wait: rarely

# Time that a suspended machine slept through counts too: copies age meanwhile. macOS has no
# CLOCK_BOOTTIME, and a CLOCK_MONOTONIC that counts sleep.
elapsed_seconds: Final = partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)


class Clock(ABC):
    """The time that every rule of the core reads."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the database's present time, aware, in UTC."""

    def measure(self) -> None:  # noqa: B027  (optional: a clock may know without asking)
        """Set the clock anew."""

    def elapsed(self) -> float:
        """Return seconds since some moment; never goes back, and nobody sets it."""
        return elapsed_seconds()


class DatabaseClock(Clock):
    """The database's time without asking it at every call.

    The offset is measured once a minute at least; `sessions_unified.tiers.watch` does so oftener,
    and off the request's path. While the database does not answer the last offset stands; before
    the first answer the host's own clock does.
    """

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._lock = threading.Lock()
        self._base: tuple[datetime, float] | None = None  # the database's time, and `elapsed` then
        self._trusted_until = float("-inf")
        _clocks.add(self)

    def now(self) -> datetime:
        """Return the database's present time, aware, in UTC."""
        # Who comes during the first measurement waits for it: the host's clock may be wrong.
        if self.elapsed() >= self._trusted_until and self._lock.acquire(
            blocking=self._base is None
        ):
            try:
                if self.elapsed() >= self._trusted_until:
                    self.measure()
            finally:
                self._lock.release()
        base = self._base
        if base is None:
            return datetime.now(UTC)
        return base[0] + timedelta(seconds=self.elapsed() - base[1])

    @property
    def skew_seconds(self) -> float | None:
        """How far this host's clock is ahead of the database's; None before the first answer."""
        base = self._base
        if base is None:
            return None
        now = base[0] + timedelta(seconds=self.elapsed() - base[1])
        return (datetime.now(UTC) - now).total_seconds()

    def measure(self) -> None:
        """Ask the database for its time.

        An error is logged, and the last offset stands.
        """
        connection = connections[self._alias]
        if connection.needs_rollback:
            return
        try:
            with connection.cursor() as cursor:
                before = self.elapsed()
                cursor.execute("SELECT clock_timestamp()")
                (answer,) = cursor.fetchone()
                after = self.elapsed()
        except DatabaseError as exc:
            logger.warning("The database's time could not be read: %s", type(exc).__name__)
            self._trusted_until = self.elapsed() + _RETRY_SECONDS
            return
        if self._base is not None and after - before > _SLOW_SECONDS:
            # Anywhere in so long a round trip may be when the server looked at its clock.
            self._trusted_until = after + _TRUST_SECONDS / 12
            return
        self._base = (answer.astimezone(UTC), (before + after) / 2)
        self._trusted_until = after + _TRUST_SECONDS

    def _start_afresh(self) -> None:
        # A lock may have been held by a thread that the fork left behind.
        self._lock = threading.Lock()


_clocks: weakref.WeakSet[DatabaseClock] = weakref.WeakSet()


def _after_fork() -> None:
    for clock in _clocks:
        clock._start_afresh()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


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

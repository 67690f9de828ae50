"""Where the cached sessions live: a mapping of a shop, or the one here, which stays small."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from legacy_adapters.cookie import epoch
from legacy_adapters.exceptions import SourceUnavailableError
from sessions_unified.clock import get_clock

SWEEP: Final = timedelta(minutes=5)
"""How often the old shop swept its Map."""

_MAX_ENTRIES: Final = 10_000

Entry = Mapping[str, Any]


class BoundedSessionMap(MutableMapping[str, Entry]):
    """Id → session data, in the stead of the old shop's Map, which grew without bound.

    The oldest entry goes when there are more than ``max_entries``; what is past its ``expiresAt``
    is swept out every five minutes, by whoever comes then. Threads may share it. It is this
    process's alone: a fork has a copy of its own.
    """

    def __init__(
        self, *, max_entries: int = _MAX_ENTRIES, now: Callable[[], datetime] | None = None
    ) -> None:
        self.max_entries = max_entries
        self._now = now or (lambda: get_clock().now())
        self._entries: dict[str, Entry] = {}
        self._swept_at: datetime | None = None
        self._lock = threading.RLock()
        _maps[id(self)] = self

    def __getitem__(self, session_id: str) -> Entry:
        with self._swept():
            return dict(self._entries[session_id])

    def __setitem__(self, session_id: str, data: Entry) -> None:
        with self._swept():
            # To the end: the oldest is the one that was not written for longest.
            self._entries.pop(session_id, None)
            self._entries[session_id] = dict(data)
            while len(self._entries) > self.max_entries:
                del self._entries[next(iter(self._entries))]

    def __delitem__(self, session_id: str) -> None:
        with self._swept():
            del self._entries[session_id]

    def __iter__(self) -> Iterator[str]:
        with self._swept():
            return iter(list(self._entries))

    def __len__(self) -> int:
        with self._swept():
            return len(self._entries)

    @contextmanager
    def _swept(self) -> Iterator[None]:
        """Hold the lock over entries of which none has been past its end for long."""
        # The clock may ask the database: not while others wait for the lock.
        now = self._now()
        with self._lock:
            if self._swept_at is None:
                self._swept_at = now
            if now - self._swept_at >= SWEEP:
                self._swept_at = now
                over = [key for key, data in self._entries.items() if is_over(data, now)]
                for key in over:
                    del self._entries[key]
            yield

    def _start_afresh(self) -> None:
        # A thread that the fork left behind may hold the lock for ever.
        self._lock = threading.RLock()


# By their ids: a mapping cannot be hashed.
_maps: weakref.WeakValueDictionary[int, BoundedSessionMap] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    for each in list(_maps.values()):
        each._start_afresh()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)

SESSIONS: Final = BoundedSessionMap()
"""The mapping of this process, where the settings name no other."""


def is_over(data: Any, now: datetime) -> bool:
    """Tell whether an entry is past its ``expiresAt``; a date that is none never comes."""
    try:
        return epoch.moment(data.get("expiresAt")) <= now
    except (AttributeError, ValueError):
        return False


@contextmanager
def answering(source: str) -> Iterator[None]:
    """Say of whatever a shop's mapping raises that the store did not answer.

    Raises:
        SourceUnavailableError: in place of anything else.

    """
    try:
        yield
    except Exception as exc:
        raise SourceUnavailableError(
            f"The mapping of the legacy store {source!r} raised {type(exc).__name__}."
        ) from exc

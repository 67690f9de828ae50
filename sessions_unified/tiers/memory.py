"""L1: frozen copies in this process, shared by its threads, dropped by invalidation messages."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from sessions_unified.tiers.base import Copy, Read, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessions_unified.clock import Clock


class MemoryTier(Tier):
    """A bounded, thread-safe map of copies; the least recently used goes first.

    It serves and keeps copies only while ``is_live()``: while the channel that would tell it of
    other processes' writes is proven alive. Leases are given all the same, because one lease is
    also one load (see `singleflight`).
    """

    name: ClassVar[str] = "memory"
    supports_fill: ClassVar[bool] = True

    def __init__(
        self,
        *,
        clock: Clock,
        max_entries: int,
        staleness_bound_seconds: float,
        is_live: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._bound = timedelta(seconds=staleness_bound_seconds)
        self._is_live = is_live
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._leases: dict[str, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._copies)

    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease."""
        is_live = self._is_live()
        with self._lock:
            copy = self._copies.get(session_id) if is_live else None
            if copy is not None and self._clock.now() - copy.true_at < self._bound:
                self._copies.move_to_end(session_id)
                return Read(copy)
            return Read(None, self._leases.setdefault(session_id, secrets.token_hex(8)))

    def peek(self, session_id: str) -> Copy | None:
        """Return what is held, leaving no trace."""
        copy = self._copies.get(session_id)
        if copy is None or self._clock.now() - copy.true_at >= self._bound:
            return None
        return copy

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the copies that may be served now; unlike `peek`, none while bypassed."""
        if not self._is_live():
            return {}
        return super().peek_many(session_ids)

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` if its lease stands and the channel is alive."""
        session_id = copy.session.id
        is_live = self._is_live()
        with self._lock:
            if self._leases.get(session_id) != lease:
                return False
            del self._leases[session_id]
            if is_live:
                self._keep(copy)
            return is_live

    def release(self, session_id: str, lease: str) -> None:
        """Give back a lease whose load failed."""
        with self._lock:
            if self._leases.get(session_id) == lease:
                del self._leases[session_id]

    def put(self, copy: Copy) -> None:
        """Replace an older copy; end a load that began before this write.

        A lease is ended, not filled: between this commit and this call a later one may have come
        and found nothing to replace.
        """
        session_id = copy.session.id
        with self._lock:
            self._leases.pop(session_id, None)
            held = self._copies.get(session_id)
            if held is not None and held.session.version < copy.session.version:
                self._keep(copy)

    def delete(self, session_id: str, version: int) -> None:
        """Drop a copy older than ``version`` or equal to it, and any lease."""
        with self._lock:
            self._leases.pop(session_id, None)
            held = self._copies.get(session_id)
            if held is not None and held.session.version <= version:
                del self._copies[session_id]

    def invalidate(self, session_id: str, version: int) -> None:
        """Drop what is older than ``version``: another process has committed it."""
        with self._lock:
            held = self._copies.get(session_id)
            if held is None or held.session.version < version:
                self._copies.pop(session_id, None)
                self._leases.pop(session_id, None)

    def clear(self) -> None:
        """Drop every copy and every lease: messages may have been missed."""
        with self._lock:
            self._copies.clear()
            self._leases.clear()

    def _keep(self, copy: Copy) -> None:
        self._copies[copy.session.id] = copy
        self._copies.move_to_end(copy.session.id)
        while len(self._copies) > self._max_entries:
            self._copies.popitem(last=False)

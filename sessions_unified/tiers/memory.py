"""L1: frozen copies in this process, shared by its threads, dropped by invalidation messages."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from sessions_unified import metrics
from sessions_unified.flow import EXPIRED
from sessions_unified.tiers.base import Copy, Read, Tier, is_young
from sessions_unified.tiers.sizing import entry_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessions_unified.clock import Clock
    from sessions_unified.snapshot import SessionSnapshot

_SAMPLE: Final = 64  # one hit in so many has its age observed
_NEVER: Final = float("-inf")
_ALWAYS: Final = float("inf")


class _Entry:
    """A copy, until when (`Clock.elapsed`) it may be served, its size, and whether it was used."""

    __slots__ = ("copy", "session", "size", "true_at", "until", "used")

    def __init__(self, copy: Copy, *, true_at: float, until: float) -> None:
        self.copy = copy
        self.session = copy.session
        self.true_at = true_at
        self.until = until
        self.size = entry_bytes(copy.session)
        self.used = False


class MemoryTier(Tier):
    """A thread-safe map of copies, bounded in number and bytes.

    It serves and keeps copies only before ``live_until`` (`Clock.elapsed`), which the channel that
    tells it of other processes' writes moves on while it is proven alive. Leases are given all the
    same, because one lease is also one load (see `singleflight`).

    Eviction is second chance: a hit marks the copy and takes no lock; the oldest unmarked one goes.
    """

    name: ClassVar[str] = "memory"
    supports_fill: ClassVar[bool] = True

    def __init__(
        self,
        *,
        clock: Clock,
        max_entries: int,
        staleness_bound_seconds: float,
        max_bytes: float = _ALWAYS,
        live_until: float = _ALWAYS,
    ) -> None:
        self._clock = clock
        self._elapsed = clock.elapsed
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bound = timedelta(seconds=staleness_bound_seconds)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._leases: dict[str, str] = {}
        self._lock = threading.Lock()
        self._hits = self._counted_hits = 0
        self.live_until = live_until
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_live(self) -> bool:
        """Whether copies may be served now."""
        return self._elapsed() < self.live_until

    def hit(self, session_id: str) -> SessionSnapshot | None:
        """Return a session that may be served as it is: young, live, and before its end.

        The fast path of `manager.get_session`, about 0.3 µs: no lock, no lease, no clock but one.
        """
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        now = self._elapsed()
        if now >= entry.until or now >= self.live_until:
            return None
        entry.used = True
        # Two threads at once may count one hit for two: a count is not worth a lock here.
        self._hits = hits = self._hits + 1
        if not hits % _SAMPLE:
            metrics.ANSWER_AGE.labels("memory").observe(max(0.0, now - entry.true_at))
        return entry.session

    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease."""
        if self.hit(session_id) is not None:
            entry = self._entries.get(session_id)
            if entry is not None:
                return Read(entry.copy)
        metrics.READS.labels("memory", "miss" if self.is_live else "bypass").inc()
        with self._lock:
            return Read(None, self._leases.setdefault(session_id, secrets.token_hex(8)))

    def peek(self, session_id: str) -> Copy | None:
        """Return what is held, leaving no trace."""
        entry = self._entries.get(session_id)
        if entry is None or not is_young(entry.copy, self._clock.now(), self._bound):
            return None
        return entry.copy

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the copies that may be served now; unlike `peek`, none while bypassed."""
        return super().peek_many(session_ids) if self.is_live else {}

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` if its lease stands and the channel is alive."""
        entry = self._entry(copy)
        session_id = copy.session.id
        with self._lock:
            kept = self._leases.get(session_id) == lease
            if kept:
                del self._leases[session_id]
                kept = self.is_live
            if kept:
                self._keep(entry)
        metrics.FILLS.labels("memory", "kept" if kept else "refused").inc()
        return kept

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
            held = self._entries.get(session_id)
            if held is not None and held.session.version < copy.session.version:
                self._keep(self._entry(copy))

    def delete(self, session_id: str, version: int) -> None:
        """Drop a copy older than ``version`` or equal to it, and any lease."""
        with self._lock:
            self._leases.pop(session_id, None)
            held = self._entries.get(session_id)
            if held is not None and held.session.version <= version:
                self._drop(session_id)

    def invalidate(self, session_id: str, version: int) -> None:
        """Drop what is older than ``version``: another process has committed it."""
        with self._lock:
            held = self._entries.get(session_id)
            if held is None or held.session.version < version:
                self._drop(session_id)
                self._leases.pop(session_id, None)

    def clear(self) -> None:
        """Drop every copy and every lease: messages may have been missed."""
        with self._lock:
            self._entries.clear()
            self._leases.clear()
            self.bytes = 0

    def start_afresh(self) -> None:
        """Empty and bypass it in a child after fork, where no thread listens for this one."""
        self._lock = threading.Lock()
        if self.live_until != _ALWAYS:
            self.live_until = _NEVER
        self.clear()

    def drain_metrics(self) -> None:
        """Hand what `hit` has counted over to the metrics."""
        with self._lock:
            hits, self._counted_hits = self._hits - self._counted_hits, self._hits
        metrics.READS.labels("memory", "hit").inc(hits)
        metrics.L1_ENTRIES.set(len(self._entries))
        metrics.L1_BYTES.set(self.bytes)

    def _entry(self, copy: Copy) -> _Entry:
        elapsed = self._elapsed()  # first: a pause before the next line must not count as young
        now = self._clock.now()
        session = copy.session
        age = max(now - copy.true_at, timedelta())
        left = min(self._bound - age, session.expires_at - now)
        is_served = session.status != EXPIRED and is_young(copy, now, self._bound)
        until = elapsed + left.total_seconds() if is_served else _NEVER
        return _Entry(copy, true_at=elapsed - age.total_seconds(), until=until)

    def _keep(self, entry: _Entry) -> None:
        session_id = entry.session.id
        self._drop(session_id)
        if entry.until <= self._elapsed():
            return
        self._entries[session_id] = entry
        self.bytes += entry.size
        while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
            self._evict()

    def _drop(self, session_id: str) -> None:
        entry = self._entries.pop(session_id, None)
        if entry is not None:
            self.bytes -= entry.size

    def _evict(self) -> None:
        """Drop the oldest copy that was not used since it was last passed over."""
        session_id, entry = self._entries.popitem(last=False)
        if entry.used:
            entry.used = False
            self._entries[session_id] = entry
        else:
            self.bytes -= entry.size

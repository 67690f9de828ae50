"""A circuit breaker with exactly one half-open probe, local to the process.

Written here because the packaged ones hold their lock during the call, or let several probes
through at once (docs/explanation/libraries.md).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sessions_unified import metrics

if TYPE_CHECKING:
    from collections.abc import Callable


class CircuitBreaker:
    """Closed until ``failures`` in a row; then open; after ``reset_seconds`` one probe passes.

    Attributes:
        is_open: whether calls are being refused, a probe apart.

    """

    def __init__(
        self,
        *,
        failures: int,
        reset_seconds: float,
        tier: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._reset_seconds = reset_seconds
        self._tier = tier
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None
        self.is_open = False

    def allows(self) -> bool:
        """Return whether this call may go ahead. True while open only for one probe."""
        if not self.is_open:
            return True
        with self._lock:
            now, opened = self._monotonic(), self._opened_at
            if opened is None:
                return True
            # A probe whose caller died is replaced after another reset period.
            since = opened if self._probing_since is None else self._probing_since
            if now - since < self._reset_seconds:
                metrics.REFUSED.labels(self._tier, "breaker").inc()
                return False
            self._probing_since = now
            self._moved("half_open")
            return True

    def succeeded(self) -> None:
        """Close."""
        if self._failures == 0 and not self.is_open:
            return
        with self._lock:
            self._failures = 0
            self._opened_at = self._probing_since = None
            if self.is_open:
                self.is_open = False
                self._moved("closed")

    def failed(self) -> None:
        """Count a failure; open at the limit, and again after a failed probe."""
        with self._lock:
            self._failures += 1
            if self.is_open or self._failures >= self._limit:
                self._opened_at = self._monotonic()
                self._probing_since = None
                self.is_open = True
                self._moved("open")

    def start_afresh(self) -> None:
        """Close it in a child after fork: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at = self._probing_since = None
        self.is_open = False

    def _moved(self, to: str) -> None:
        metrics.BREAKER_MOVES.labels(self._tier, to).inc()
        metrics.BREAKER_OPEN.labels(self._tier).set(self.is_open)

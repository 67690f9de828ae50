"""A circuit breaker with exactly one half-open probe, local to the process.

Written here because the packaged ones hold their lock during the call, or let several probes
through at once (docs/explanation/libraries.md).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class CircuitBreaker:
    """Closed until ``failures`` in a row; then open; after ``reset_seconds`` one probe passes."""

    def __init__(
        self,
        *,
        failures: int,
        reset_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._reset_seconds = reset_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused, a probe apart."""
        return self._opened_at is not None

    def allows(self) -> bool:
        """Return whether this call may go ahead. True while half open only for one probe."""
        if not self.is_open:
            return True
        with self._lock:
            now, opened = self._monotonic(), self._opened_at
            if opened is None:
                return True
            if now - opened < self._reset_seconds:
                return False
            # A probe whose caller died is replaced after another reset period.
            since = self._probing_since
            if since is not None and now - since < self._reset_seconds:
                return False
            self._probing_since = now
            return True

    def succeeded(self) -> None:
        """Close."""
        if self._failures == 0 and self._opened_at is None:
            return
        with self._lock:
            self._failures = 0
            self._opened_at = self._probing_since = None

    def failed(self) -> None:
        """Count a failure; open at the limit, and again after a failed probe."""
        with self._lock:
            self._failures += 1
            if self._opened_at is not None or self._failures >= self._limit:
                self._opened_at = self._monotonic()
                self._probing_since = None

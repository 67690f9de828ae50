"""What was sent and what came back, counted."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from funnel.simulation.client import CUT

if TYPE_CHECKING:
    from funnel.simulation.client import Answer

_KEPT_LATENCIES: Final = 200_000
_KEPT_LATE_READS: Final = 20


class Tally:
    """Counters that all shoppers share.

    Attributes:
        kinds: kind of shopper → how many came.
        acts: what a shopper did → how many requests.
        answers: class of status, such as ``2xx``, or ``none`` → how many.
        unexpected: description → how often.
        examples: the same → the first session that met it.
        noted: further things worth a figure, by name.
        late_reads: the first reads that were behind what was acknowledged, described.

    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.noted: Counter[str] = Counter()
        self.late_reads: list[str] = []
        self._seconds: list[float] = []

    def arrival(self, kind: str) -> None:
        """Count a shopper."""
        with self._lock:
            self.kinds[kind] += 1

    def request(self, act: str, answer: Answer) -> None:
        """Count a request and its answer."""
        with self._lock:
            self.acts[act] += 1
            self.answers["none" if answer.status == CUT else f"{answer.status // 100}xx"] += 1
            if answer.status != CUT and len(self._seconds) < _KEPT_LATENCIES:
                self._seconds.append(answer.seconds)

    def surprise(self, act: str, answer: Answer, session_id: str = "") -> None:
        """Remember an answer that no shopper should get."""
        status = "no answer" if answer.status == CUT else f"{answer.status} {answer.code}".strip()
        with self._lock:
            self.unexpected[f"{act}: {status}"] += 1
            self.examples.setdefault(f"{act}: {status}", session_id)

    def behind(self, session_id: str, says: str) -> None:
        """Remember a read that was behind what its shopper had been told."""
        with self._lock:
            self.noted["reads behind"] += 1
            if len(self.late_reads) < _KEPT_LATE_READS:
                self.late_reads.append(f"{session_id}: {says}")

    def crash(self, kind: str, exc: Exception) -> None:
        """Remember an answer of a shape that nobody expected."""
        with self._lock:
            self.unexpected[f"{kind}: {type(exc).__name__}: {exc}"] += 1

    def note(self, name: str) -> None:
        """Count something else."""
        with self._lock:
            self.noted[name] += 1

    def percentile_ms(self, part: float) -> float | None:
        """Return the latency that this part of the requests stayed below; None: there are none."""
        with self._lock:
            ordered = sorted(self._seconds)
        if not ordered:
            return None
        return round(1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)], 1)

"""What one process has noted and not yet written: lock-free where requests note it.

A request appends to a queue. The pool's own thread adds the queue up by minute, and keeps what the
database would not take.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from legacy_adapters import metrics
from legacy_adapters.migration.parity.histograms import label_of
from legacy_adapters.migration.stages.names import Endpoint, Side, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from legacy_adapters.migration.parity.comparing import Look

COUNTS: Final = (
    *("compared", "agreed", "transient", "confirmed", "shed", "failed", "reads", "errors"),
)
"""The columns of `ParityMinute` that are plain counts."""

MAPS: Final = ("served_ms", "legacy_ms", "unified_ms", "fields")
"""Its columns that count by name."""

_COMPARED: Final = frozenset({"agreed", "transient", "confirmed"})
_ENDPOINTS: Final = frozenset(Endpoint.values)
for _each in Endpoint.values:  # from 0 on: a series that begins with 1 has, for alerts, not grown
    metrics.COMPARISONS.labels(_each, "confirmed")
# What waits for a database that is down is bounded: hours of minutes, thousands of reads a second.
_MOST_NOTES: Final = 200_000
_MOST_ROWS: Final = 2_000
MOST_FINDINGS: Final = 1_000


class Where(NamedTuple):
    """The endpoint and the stage at which a session was read, and the last change known then."""

    endpoint: str
    stage: Stage
    epoch: int


class Read(NamedTuple):
    """A read that was answered, or failed."""

    where: Where
    seconds: float
    failed: bool


class Outcome(NamedTuple):
    """What became of a comparison: a count's name, or ``skipped``; the look, where there is one."""

    where: Where
    result: str
    session_id: str = ""
    look: Look | None = None


@dataclass
class Tally:
    """The sums of one row of `ParityMinute`."""

    counts: Counter[str] = field(default_factory=Counter)
    served_ms: Counter[str] = field(default_factory=Counter)
    legacy_ms: Counter[str] = field(default_factory=Counter)
    unified_ms: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add another's sums."""
        self.counts.update(other.counts)
        for name in MAPS:
            getattr(self, name).update(getattr(other, name))


@dataclass
class Finding:
    """A confirmed difference of a session, seen so often since the last time it was written."""

    where: Where
    look: Look
    seen_at: datetime
    times: int = 1


@dataclass
class Taken:
    """What is to be written now: sums by place and minute, findings by session and endpoint."""

    tallies: dict[tuple[Where, datetime], Tally] = field(default_factory=dict)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.tallies or self.findings)


class Ledger:
    """The notes of this process.

    Attributes:
        reads: where requests append; so does nobody else.
        outcomes: where comparisons append.

    """

    def __init__(self) -> None:
        self.reads: deque[Read] = deque(maxlen=_MOST_NOTES)
        self.outcomes: deque[Outcome] = deque(maxlen=_MOST_NOTES)
        self._kept = Taken()
        self._lock = threading.Lock()

    def take(self, now: datetime) -> Taken:
        """Return what is to be written, and forget it; what was noted counts for ``now``."""
        minute = now.replace(second=0, microsecond=0)
        with self._lock:
            for read in _drained(self.reads):
                _add_read(self._tally(read.where, minute), read)
            for outcome in _drained(self.outcomes):
                self._add_outcome(outcome, minute, now)
            taken, self._kept = self._kept, Taken()
        return taken

    def give_back(self, taken: Taken) -> None:
        """Keep what could not be written for the next time; of too much the oldest goes."""
        with self._lock:
            for (where, minute), tally in taken.tallies.items():
                self._tally(where, minute).add(tally)
            self._kept.findings = taken.findings | self._kept.findings
            _shorten(self._kept.tallies, _MOST_ROWS)
            _shorten(self._kept.findings, MOST_FINDINGS)

    def _tally(self, where: Where, minute: datetime) -> Tally:
        return self._kept.tallies.setdefault((where, minute), Tally())

    def _add_outcome(self, outcome: Outcome, minute: datetime, now: datetime) -> None:
        where, result, session_id, look = outcome
        metrics.COMPARISONS.labels(where.endpoint, result).inc()
        if look is not None:
            metrics.COMPARISON_READ.labels(Side.LEGACY.value).observe(look.legacy_seconds)
            metrics.COMPARISON_READ.labels(Side.UNIFIED.value).observe(look.unified_seconds)
        if result not in COUNTS:
            return
        tally = self._tally(where, minute)
        tally.counts[result] += 1
        tally.counts["compared"] += result in _COMPARED
        if look is None:
            return
        tally.legacy_ms[label_of(look.legacy_seconds)] += 1
        tally.unified_ms[label_of(look.unified_seconds)] += 1
        if result == "confirmed":
            tally.fields.update(look.fields)
            self._add_finding(Finding(where=where, look=look, seen_at=now), session_id)

    def _add_finding(self, finding: Finding, session_id: str) -> None:
        key = (session_id, finding.where.endpoint)
        before = self._kept.findings.pop(key, None)
        finding.times += 0 if before is None else before.times
        self._kept.findings[key] = finding
        _shorten(self._kept.findings, MOST_FINDINGS)


def is_endpoint(name: str) -> bool:
    """Tell whether it is one of those that move; a task, the admin, are not."""
    return name in _ENDPOINTS


def _add_read(tally: Tally, read: Read) -> None:
    side = read.where.stage.reads
    tally.counts["reads"] += 1
    tally.counts["errors"] += read.failed and side is Side.UNIFIED
    tally.served_ms[label_of(read.seconds)] += 1
    metrics.STAGED_READ.labels(read.where.endpoint, side.value).observe(read.seconds)
    if read.failed:
        metrics.STAGED_READ_FAILURES.labels(read.where.endpoint, side.value).inc()


def _drained(queue: deque[Any]) -> Iterator[Any]:
    for _ in range(len(queue)):  # not what comes meanwhile
        yield queue.popleft()


def _shorten(found: dict[Any, Any], most: int) -> None:
    for key in list(found)[: max(len(found) - most, 0)]:
        del found[key]

"""What shoppers met, by what was broken at the time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.soak.record import CUT, NOTHING, READS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.record import Record

HEALTHY: Final = "healthy"
RECOVERING: Final = "the 5 s after a fault"
RECOVERING_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Spell:
    """A fault that was: from before it was made until it was mended."""

    name: str
    area: str
    began: float
    ended: float


class Timeline:
    """The spells in order."""

    def __init__(self, spells: Sequence[Spell]) -> None:
        self.spells = spells
        self._began = [each.began for each in spells]

    def at(self, moment: float) -> Spell | None:
        """Return the fault at a moment."""
        last = self._last(moment)
        return last if last is not None and moment <= last.ended else None

    def mended_at(self, moment: float) -> float:
        """Return when the last fault before a moment ended: the moment itself if none has."""
        last = self._last(moment)
        return -math.inf if last is None else min(last.ended, moment)

    def last_of(self, area: str, moment: float) -> Spell | None:
        """Return the last fault of an area that had begun by then."""
        past = [each for each in self.spells if each.area == area and each.began <= moment]
        return past[-1] if past else None

    def phase(self, record: Record) -> str:
        """Return the fault that a request met, or that there was none."""
        for moment in (record.asked, record.done):
            spell = self.at(moment)
            if spell is not None:
                return spell.name
        mended = self.mended_at(record.asked)
        return RECOVERING if record.asked - mended < RECOVERING_SECONDS else HEALTHY

    def seconds(self, *, began: float, ended: float) -> dict[str, float]:
        """Return phase → how long it lasted in all."""
        found: Counter[str] = Counter()
        broken, recovering = 0.0, 0.0
        for spell, after in zip(self.spells, [*self._began[1:], ended], strict=True):
            found[spell.name] += spell.ended - spell.began  # type: ignore[assignment]
            broken += spell.ended - spell.began
            recovering += min(RECOVERING_SECONDS, after - spell.ended)
        return {HEALTHY: ended - began - broken - recovering, RECOVERING: recovering, **found}

    def _last(self, moment: float) -> Spell | None:
        place = bisect_right(self._began, moment)
        return self.spells[place - 1] if place else None


@dataclass
class Phase:
    """The requests of one phase."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    failed_reads: int = 0
    failed_writes: int = 0
    degraded: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count a request."""
        is_read = record.op in READS
        (self.reads if is_read else self.writes).append(record.took)
        self.statuses["cut" if record.status == CUT else str(record.status)] += 1
        if record.status >= 500:
            if is_read:
                self.failed_reads += 1
            else:
                self.failed_writes += 1
        if record.degraded != NOTHING:
            self.degraded[record.degraded] += 1

    def figures(self, seconds: float) -> dict[str, Any]:
        """Return what there is to say about it."""
        count = len(self.reads) + len(self.writes)
        return {
            "seconds": round(seconds, 1),
            "requests": count,
            "per_second": round(count / seconds) if seconds else 0,
            "reads": len(self.reads),
            "writes": len(self.writes),
            "read_p50_ms": quantile(self.reads, 0.5),
            "read_p99_ms": quantile(self.reads, 0.99),
            "write_p50_ms": quantile(self.writes, 0.5),
            "write_p99_ms": quantile(self.writes, 0.99),
            "failed_reads": self.failed_reads,
            "failed_writes": self.failed_writes,
            "cut": self.statuses["cut"],
            "degraded": dict(self.degraded),
            "statuses": dict(sorted(self.statuses.items())),
        }


def quantile(seconds: list[float], share: float) -> float:
    """Return it in milliseconds; 0 of nothing."""
    if not seconds:
        return 0.0
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)

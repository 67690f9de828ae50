"""Minutes of comparisons, added up to as many points as a chart can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.parity.histograms import added

if TYPE_CHECKING:
    from collections.abc import Iterable

    from legacy_adapters.models import ParityMinute

HOURS: Final = {1: 1, 6: 5, 24: 20}
"""The windows to choose from, in hours → the minutes that one point stands for."""

_SUMMED: Final = ("compared", "agreed", "transient", "confirmed", "shed", "failed", "errors")


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the charts show.

    Attributes:
        end: the end of the last point, exclusive.
        hours: a key of `HOURS`.

    """

    end: datetime
    hours: int

    @property
    def step(self) -> timedelta:
        """What one point stands for."""
        return timedelta(minutes=HOURS[self.hours])

    @property
    def begin(self) -> datetime:
        """The beginning of the first point."""
        return self.end - timedelta(hours=self.hours)

    @property
    def starts(self) -> list[datetime]:
        """The beginning of each point."""
        number = self.hours * 60 // HOURS[self.hours]
        return [self.begin + index * self.step for index in range(number)]

    def place(self, at: datetime) -> int:
        """Return the point that a moment belongs to; below 0: it came before; else after."""
        return (at - self.begin) // self.step

    def nearest(self, at: datetime) -> int:
        """Return that point, or the first or last."""
        return min(max(self.place(at), 0), self.hours * 60 // HOURS[self.hours] - 1)


def window_to(now: datetime, hours: int) -> Window:
    """Return the window up to ``now``, without its minute, which would look like a drop."""
    return Window(end=now.replace(second=0, microsecond=0), hours=hours)


class Bin:
    """What one point adds up to."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(_SUMMED, 0)
        self.legacy_ms: dict[str, int] = {}
        self.unified_ms: dict[str, int] = {}

    def add(self, minute: ParityMinute) -> None:
        """Add a minute."""
        for name in _SUMMED:
            self.counts[name] += getattr(minute, name)
        self.legacy_ms = added(self.legacy_ms, minute.legacy_ms)
        self.unified_ms = added(self.unified_ms, minute.unified_ms)


def binned(window: Window, minutes: Iterable[ParityMinute]) -> list[Bin]:
    """Return the points of a window; minutes outside it are left out."""
    found = [Bin() for _ in window.starts]
    for minute in minutes:
        index = window.place(minute.minute)
        if 0 <= index < len(found):
            found[index].add(minute)
    return found

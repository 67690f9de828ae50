"""How far a backfill is, how fast, and how long it still takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessions_unified.admin.formatting import NOTHING

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What has been read of about ``total`` records, at ``rate`` a second; None: not known."""

    read: int
    total: int
    rate: float | None
    is_running: bool
    is_finished: bool

    @property
    def percent(self) -> int:
        """0 to 100; 100 only when it is finished, since the total is an estimate."""
        if self.is_finished:
            return 100
        return min(99, 100 * self.read // self.total) if self.total else 0

    @property
    def rate_text(self) -> str:
        """The rate for the eye."""
        return f"{self.rate:,.0f} a second" if self.rate else NOTHING

    @property
    def left_text(self) -> str:
        """The time that is left for the eye; of a run that stands still there is none."""
        if not self.is_running or not self.rate:
            return NOTHING
        seconds = max(0, self.total - self.read) / self.rate
        if seconds < _MINUTE:
            return "less than a minute"
        if seconds < _HOUR:
            return f"{seconds / _MINUTE:.0f} min"
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"

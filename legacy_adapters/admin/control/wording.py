"""Stages, parts and durations in the words and figures of the control room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessions_unified.admin.formatting import NOTHING, words

if TYPE_CHECKING:
    from decimal import Decimal

    from legacy_adapters.migration.stages.names import Stage

_ALL: Final = 100
_SECOND_MS: Final = 1000
_FINE_MS: Final = 10


def percent_text(percent: float | Decimal) -> str:
    """Return ``25 %``; no more digits than it has."""
    return f"{float(percent):.2f}".rstrip("0").rstrip(".") + " %"


def place_text(stage: Stage | str, percent: float | Decimal) -> str:
    """Return ``live 25 %``; for all sessions, the stage alone."""
    name = words(str(stage))
    return name if percent >= _ALL else f"{name} {percent_text(percent)}"


def part_text(part: float | None) -> str:
    """Return a part of 1 as percent, never rounded up: 99.996 % is not 100 %."""
    if part is None:
        return NOTHING
    return f"{int(part * 100_000) / 1000:.3f}".rstrip("0").rstrip(".") + " %"


def duration_text(milliseconds: float | None) -> str:
    """Return ``0.5 ms``, ``12 ms`` or ``1.5 s``."""
    if milliseconds is None:
        return NOTHING
    if round(milliseconds) >= _SECOND_MS:
        return f"{milliseconds / _SECOND_MS:.1f} s"
    is_fine = round(milliseconds, 1) < _FINE_MS
    return f"{milliseconds:.1f} ms" if is_fine else f"{milliseconds:.0f} ms"


def count_text(number: int | None) -> str:
    """Return ``12,345``."""
    return NOTHING if number is None else f"{number:,}"

"""Words that the actions share."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.migration.stages.names import Stage


def percent_of(percent: float | Decimal) -> str:
    """Return a percentage as people write it: `12.5 %`."""
    number = Decimal(str(percent)).normalize()
    return f"{number:f} %"


def place_of(stage: Stage | str, percent: float | Decimal) -> str:
    """Return where an endpoint is: its stage, and for how many."""
    return f"{stage} for {percent_of(percent)}"


def wrapped(text: str, columns: int, *, indent: str = "", hang: str = "") -> Iterator[str]:
    """Yield text in lines of a terminal; what has no room is never cut within a word."""
    yield from textwrap.wrap(
        text,
        max(columns, len(indent) + 24),
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_on_hyphens=False,
        break_long_words=False,
    )

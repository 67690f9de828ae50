"""Why a charge was refused: one value a subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One subject that has had too many declines.

    Attributes:
        scope: session, address or card.
        subject: as `CardTestingStop` has it.
        declines: how many count now, charges that are still open among them.
        until: when fewer than the limit will count, at the earliest.

    """

    scope: str
    subject: str
    declines: int
    until: datetime

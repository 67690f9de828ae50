"""A gate's answer, the move that it is asked about, and the refusal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.parity.counted import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from legacy_adapters.migration.parity.summing import Parity
    from legacy_adapters.migration.stages.names import Endpoint
    from legacy_adapters.migration.stages.view import Place, StageView
    from legacy_adapters.models import EndpointStage
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate as it is now.

    Attributes:
        name: the same for ever: docs and tests name it.
        is_open: whether it lets the move through.
        reason: one sentence for a person: the figure and, while it is shut, what would open it.
        figure: what it looked at, as text.
        needs: what that would have to be, as text; empty where there is no figure.

    """

    name: str
    is_open: bool
    reason: str
    figure: str = ""
    needs: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as commands and the history say it."""
        return {
            "name": self.name,
            "open": self.is_open,
            "reason": self.reason,
            "figure": self.figure,
            "needs": self.needs,
        }


@dataclass(frozen=True, kw_only=True)
class Move:
    """A move forward that is asked about.

    Attributes:
        endpoint: what is moved.
        before: where it is.
        after: where it would be.
        view: where all endpoints are.
        row: the endpoint's row; None: it was never moved.
        now: the database's time.

    """

    tiers: Tiers
    endpoint: Endpoint
    before: Place
    after: Place
    view: StageView
    row: EndpointStage | None
    now: datetime

    @cached_property
    def parity(self) -> Parity | None:
        """The comparisons that count for this move; None: none do."""
        return counted(self.tiers, self.endpoint, self.before)


class GatesShutError(LegacyAdaptersError):
    """The move is refused: gates are shut. Nothing was changed.

    Attributes:
        gates: those that are shut.

    """

    def __init__(self, gates: Sequence[Gate]) -> None:
        self.gates = tuple(gates)
        reasons = " ".join(f"[{each.name}] {each.reason}" for each in self.gates)
        super().__init__(f"Nothing was moved. {reasons}")

"""Where every endpoint is, and what keeps it there: one value an endpoint, for every screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legacy_adapters.migration.parity.counted import counted
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Endpoint
from legacy_adapters.migration.steering.planning import next_of, planned
from legacy_adapters.migration.unseen import unseen
from legacy_adapters.models import EndpointStage, WriteMark
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.stages.names import Stage
    from legacy_adapters.migration.stages.view import StageView
    from legacy_adapters.migration.unseen import Unseen
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """One endpoint as it is now.

    Attributes:
        endpoint: the endpoint.
        stage: its stage.
        percent: for so many of the sessions; the others are at the stage before.
        entered_at: when it came to the stage; None: it was never moved.
        parity: the comparisons that count now (`Parity.to_json`); None: none are made here.
        repair_backlog: sessions that wait for repair, of all endpoints together.
        gates: those of the next move forward; none at the end.
        unseen: what is unseen of each store that the server cannot list.
        next: where the next move goes; None: it is at the end.
        demoted_at: when it went back by itself; None: a person has advanced it since.
        paused_at: since when it is held; None: it is not.
        pause_reason: why.

    """

    endpoint: Endpoint
    stage: Stage
    percent: float | Decimal
    entered_at: datetime | None
    parity: dict[str, Any] | None
    repair_backlog: int
    gates: tuple[Gate, ...]
    unseen: tuple[Unseen, ...]
    next: tuple[Stage, float | Decimal] | None
    demoted_at: datetime | None
    paused_at: datetime | None
    pause_reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it as ``migration status --json`` says it: what scripts rely on comes first."""
        return {
            "endpoint": self.endpoint.value,
            "stage": self.stage.value,
            "percent": float(self.percent),
            "parity": self.parity,
            "repair_backlog": self.repair_backlog,
            "gates": [each.to_json() for each in self.gates],
            "entered_at": _text(self.entered_at),
            "unseen": [each.to_json() for each in self.unseen],
            "next": None
            if self.next is None
            else {"stage": self.next[0].value, "percent": float(self.next[1])},
            "demoted_at": _text(self.demoted_at),
            "paused_at": _text(self.paused_at),
            "pause_reason": self.pause_reason,
        }


def statuses(tiers: Tiers) -> list[EndpointStatus]:
    """Return where every endpoint is now, and the gates of its next move.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    with tiers.database.transaction():
        view = store.read(tiers.database)
        moved = {each.endpoint: each for each in rows(EndpointStage)}
        backlog = rows(WriteMark).count()
        hidden = tuple(unseen(tiers))
        return [
            _status(tiers, each, view, moved.get(each), backlog=backlog, hidden=hidden)
            for each in Endpoint
        ]


def _status(
    tiers: Tiers,
    endpoint: Endpoint,
    view: StageView,
    row: EndpointStage | None,
    *,
    backlog: int,
    hidden: tuple[Unseen, ...],
) -> EndpointStatus:
    place = view.place(endpoint)
    parity = counted(tiers, endpoint, place)
    after = next_of(place)
    return EndpointStatus(
        endpoint=endpoint,
        stage=place.stage,
        percent=place.percent,
        entered_at=None if row is None else row.entered_at,
        parity=None if parity is None else parity.to_json(),
        repair_backlog=backlog,
        gates=() if after is None else planned(tiers, endpoint, view, after).gates,
        unseen=hidden,
        next=None if after is None else (after.stage, after.percent),
        demoted_at=None if row is None else row.demoted_at,
        paused_at=None if row is None else row.paused_at,
        pause_reason="" if row is None else row.pause_reason,
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

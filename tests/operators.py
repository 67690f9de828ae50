"""An operator of a shop that is being moved, for tests: gates by name, and what opens them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.steering import operating
from legacy_adapters.models import BackfillRun, ParityMinute, ProcessReport, StageChange
from sessions_unified.clock import get_clock
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Gate

DETAIL = Endpoint.DETAIL
WHO = {"actor": "ana", "reason": "a test"}


def gate(name: str, endpoint: Endpoint = DETAIL, **to: Any) -> Gate:
    """Return one gate of a move; of the next one, unless another is meant."""
    found = operating.plan(get_tiers(), endpoint, **to).gates
    return next(each for each in found if each.name == name)


def names(endpoint: Endpoint = DETAIL, **to: Any) -> set[str]:
    """Return the gates of a move."""
    return {each.name for each in operating.plan(get_tiers(), endpoint, **to).gates}


def report(*, epoch: int | None = None, age_seconds: float = 0, name: str = "web") -> ProcessReport:
    """Have a process report; ``epoch`` None: it has seen everything."""
    last = StageChange.objects.order_by("id").last()
    now = get_clock().now()
    return ProcessReport.objects.create(
        id=uuid.uuid4(),
        name=name,
        host="here",
        pid=4711,
        epoch=(0 if last is None else last.pk) if epoch is None else epoch,
        started_at=now,
        reported_at=now - timedelta(seconds=age_seconds),
    )


def backfilled(
    *, since: Any = None, state: str = "finished", created_at: Any = None
) -> BackfillRun:
    """Have a backfill of the table be over."""
    now = get_clock().now()
    return BackfillRun.objects.create(
        source="database",
        state=state,
        since=since,
        batch_size=500,
        total=0,
        created_at=created_at or now,
        finished_at=now,
    )


def compared(
    stage: Stage,
    number: int = 10_000,
    *,
    endpoint: Endpoint = DETAIL,
    confirmed: int = 0,
    age: timedelta = timedelta(0),
) -> None:
    """Have so many comparisons come to their end, at the stage as it is now."""
    last = StageChange.objects.order_by("id").last()
    ParityMinute.objects.create(
        endpoint=endpoint,
        stage=stage,
        epoch=0 if last is None else last.pk,
        minute=(get_clock().now() - age).replace(second=0, microsecond=0),
        compared=number,
        agreed=number - confirmed,
        confirmed=confirmed,
        reads=number,
        fields={"email": confirmed} if confirmed else {},
    )

"""One move of one endpoint, committed with its history while no write is under way.

Whether it may move is not asked here: `gates` does.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import OperationalError, connections

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import EndpointStage, StageChange
from legacy_adapters.tables import atomic, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sessions_unified.tiers import Tiers

SLACK: Final = timedelta(minutes=1)
"""A write may be stored so long after the moment that its row says; clocks differ by less."""

_WAIT: Final = "5s"


class MovingTimeoutError(LegacyAdaptersError):
    """Writes of before were still under way after five seconds. Nothing was changed. Try again."""


class OvertakenError(LegacyAdaptersError):
    """Somebody else has moved the endpoint meanwhile. Look at its stage, and decide again."""


def move(
    tiers: Tiers,
    endpoint: Endpoint,
    stage: Stage,
    percent: float | Decimal = 100,
    *,
    actor: str,
    reason: str,
    is_automatic: bool = False,
    gates: Sequence[dict[str, Any]] = (),
) -> StageChange:
    """Bring an endpoint to a stage for so many percent; write down who did it, and why.

    A pause stays; what went back by itself is told until a person has
    brought it forward.

    Raises:
        MovingTimeoutError: a write held the stages still for too long.
        OperationalError: the database did not answer.

    """
    alias = tiers.database.alias
    with atomic(durable=False):
        wait_for_writes(alias)
        now = tiers.clock.now()
        found = rows(EndpointStage).filter(pk=endpoint).first()
        before = found or EndpointStage(endpoint=endpoint, stage=Stage.OFF, percent=Decimal(100))
        after = _after(before, stage, Decimal(str(percent)), now)
        if is_automatic:
            after.demoted_at = now
        after.save(using=alias, force_update=found is not None, force_insert=found is None)
        change = StageChange(
            endpoint=endpoint,
            from_stage=before.stage,
            from_percent=before.percent,
            to_stage=stage,
            to_percent=after.percent,
            at=now,
            actor=actor,
            reason=reason,
            is_automatic=is_automatic,
            gates=list(gates),
        )
        change.save(using=alias)
    return change


def _after(before: EndpointStage, stage: Stage, percent: Decimal, now: datetime) -> EndpointStage:
    is_same = before.stage == stage and before.entered_at is not None
    is_forward = (stage.rank, percent) > (Stage(before.stage).rank, before.percent)
    unmarked_since = before.unmarked_since
    if stage is Stage.COMPLETE and unmarked_since is None:
        unmarked_since = now - SLACK
    return EndpointStage(
        endpoint=before.endpoint,
        stage=stage,
        percent=percent,
        entered_at=before.entered_at if is_same else now,
        changed_at=now,
        demoted_at=None if is_forward else before.demoted_at,
        paused_at=before.paused_at,
        pause_reason=before.pause_reason,
        unmarked_since=unmarked_since,
    )


def wait_for_writes(alias: str) -> None:
    """Keep every write out until the transaction ends.

    Raises:
        MovingTimeoutError: one of before was still under way after five seconds.

    """
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAIT])
    try:
        store.lock(alias)
    except OperationalError as exc:
        raise MovingTimeoutError from exc

"""One move of one endpoint, committed with its history while no write is under way.

Whether it may move is not asked here: `gates` does.
"""

from __future__ import annotations

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

    from sessions_unified.tiers import Tiers

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
    if_at: tuple[Stage, Decimal] | None = None,
) -> StageChange:
    """Bring an endpoint to a stage for so many percent; write down who did it, and why.

    ``if_at``: only from there.

    Raises:
        OvertakenError: it is not ``if_at``.
        MovingTimeoutError: a write held the stages still for too long.
        OperationalError: the database did not answer.

    """
    alias = tiers.database.alias
    with atomic(durable=False):
        _wait_for_writes(alias)
        now = tiers.clock.now()
        found = rows(EndpointStage).filter(pk=endpoint).first()
        before = found or EndpointStage(endpoint=endpoint, stage=Stage.OFF, percent=Decimal(100))
        if if_at is not None and if_at != (Stage(before.stage), before.percent):
            raise OvertakenError
        is_same_stage = found is not None and found.stage == stage
        after = EndpointStage(
            endpoint=endpoint,
            stage=stage,
            percent=Decimal(str(percent)),
            entered_at=before.entered_at if is_same_stage else now,
            changed_at=now,
            demoted_at=now if is_automatic else None,
        )
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


def _wait_for_writes(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAIT])
    try:
        store.lock(alias)
    except OperationalError as exc:
        raise MovingTimeoutError from exc

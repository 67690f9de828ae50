"""The processes that serve sessions, and whether all of them have seen the stages as they are.

Each reports by itself, from its first look at the stages on (`stages.following`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Max

from legacy_adapters.migration.conf import get_conf
from legacy_adapters.models import ProcessReport, StageChange
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers


def processes(tiers: Tiers) -> list[ProcessReport]:
    """Return the processes that are alive: those that have reported lately."""
    since = tiers.clock.now() - timedelta(seconds=get_conf().PROCESS_TIMEOUT_SECONDS)
    return list(rows(ProcessReport).filter(reported_at__gt=since).order_by("name", "host", "pid"))


def lagging(tiers: Tiers) -> list[ProcessReport]:
    """Return the living processes that have not seen the last stage change yet."""
    epoch = rows(StageChange).aggregate(last=Max("id"))["last"] or 0
    return [each for each in processes(tiers) if each.epoch < epoch]

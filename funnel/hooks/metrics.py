"""What handing orders on counts, and what is measured of it at a scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Count, Min, Q
from prometheus_client import Counter

from funnel.conf import get_conf
from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from sessions_unified.metrics import Measured

if TYPE_CHECKING:
    from sessions_unified.monitoring.exposition import Samples
    from sessions_unified.tiers import Tiers

State = HookDelivery.State

DELIVERIES: Final = Counter(
    "funnel_hook_deliveries",
    "Tries to hand an event on. result: delivered, retried, failed (waits for a replay), "
    "overtaken (its lease was over, and another try has it).",
    ["target", "result"],
)
PENDING: Final = Measured(
    name="funnel_hook_pending",
    documentation="Events that a target has not been told of yet.",
    labelnames=("target",),
)
OLDEST: Final = Measured(
    name="funnel_hook_oldest_seconds",
    documentation="For how long the oldest of them has waited; 0: there is none.",
    labelnames=("target",),
)
FAILED: Final = Measured(
    name="funnel_hook_failed",
    documentation="Events that a target was not told of in all tries; they wait for a replay.",
    labelnames=("target",),
)


def measure(_: Tiers) -> Samples:
    """Return what waits for each target, for those of the past too while anything does.

    Raises:
        django.db.Error: the database did not answer in time.

    """
    now = get_clock().now()
    waiting = (
        HookDelivery.objects.exclude(state=State.DELIVERED)
        .values_list("target")
        .annotate(
            pending=Count("pk", filter=Q(state=State.PENDING)),
            oldest=Min("created_at", filter=Q(state=State.PENDING)),
            failed=Count("pk", filter=Q(state=State.FAILED)),
        )
    )
    found = dict.fromkeys(get_conf().HOOKS, (0, now, 0))
    found |= {
        target: (pending, oldest or now, failed) for target, pending, oldest, failed in waiting
    }
    answer: Samples = []
    for target, (pending, oldest, failed) in sorted(found.items()):
        answer.append((PENDING, (target,), pending))
        answer.append((OLDEST, (target,), max(0.0, (now - oldest).total_seconds())))
        answer.append((FAILED, (target,), failed))
    return answer

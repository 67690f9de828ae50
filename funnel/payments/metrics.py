"""What the payments count, for Prometheus; `docs/reference/metrics.md` lists it from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Min
from prometheus_client import Counter

from funnel.payments.models import OPEN_STATES, ChargeAttempt
from funnel.payments.refunds.models import Refund
from funnel.payments.webhooks.models import GatewayEvent
from sessions_unified.clock import get_clock
from sessions_unified.metrics import Measured

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from sessions_unified.monitoring.exposition import Samples
    from sessions_unified.tiers import Tiers

CHARGES: Final = Counter(
    "funnel_charges",
    "Charges that came into a state. state: succeeded, declined, rejected, unknown, needs_review, "
    "surplus, voided.",
    ["gateway", "state"],
)
DISCREPANCIES: Final = Counter(
    "funnel_charge_discrepancies",
    "Times that a gateway contradicted what is settled, or what was sent.",
    ["gateway"],
)
QUESTIONS: Final = Counter(
    "funnel_gateway_questions",
    "Charges that the sweeper asked a gateway for. result: settled, inconclusive, review, "
    "unreachable, unconfigured (no such gateway here), failed.",
    ["gateway", "result"],
)
WEBHOOKS: Final = Counter(
    "funnel_gateway_webhooks",
    "Webhooks that came. type: of the event, or none; result: handled, waiting, duplicate, "
    "unsigned, malformed, failed.",
    ["type", "result"],
)

OPEN_CHARGES: Final = Measured(
    name="funnel_open_charges",
    documentation="Charges whose outcome is still to come. state: claimed, unknown, needs_review.",
    labelnames=("state",),
)
OLDEST_OPEN_CHARGE: Final = Measured(
    name="funnel_oldest_open_charge_seconds",
    documentation="Age of the oldest charge in each of these states; in review: since when.",
    labelnames=("state",),
)
OPEN_REFUNDS: Final = Measured(
    name="funnel_open_refunds",
    documentation="Refunds whose outcome is still to come. state: claimed, unknown, needs_review.",
    labelnames=("state",),
)
OLDEST_OPEN_REFUND: Final = Measured(
    name="funnel_oldest_open_refund_seconds",
    documentation="Age of the oldest refund in each of these states; in review: since when.",
    labelnames=("state",),
)
UNHANDLED_EVENTS: Final = Measured(
    name="funnel_unhandled_gateway_events",
    documentation="Events of gateways that were stored and not acted on yet.",
)


def measure(_: Tiers) -> Samples:
    """Return the gauges as they are now; `sessions_unified.monitoring.exposition` asks."""
    samples = [
        *_waiting(ChargeAttempt.objects.all(), OPEN_CHARGES, OLDEST_OPEN_CHARGE),
        *_waiting(Refund.objects.all(), OPEN_REFUNDS, OLDEST_OPEN_REFUND),
    ]
    unhandled = GatewayEvent.objects.filter(handled_at=None).count()
    return [*samples, (UNHANDLED_EVENTS, (), unhandled)]


def _waiting(rows: QuerySet[Any], number_of: Measured, oldest_of: Measured) -> Samples:
    now = get_clock().now()
    counts = (
        rows.filter(state__in=OPEN_STATES)
        .values_list("state")
        .annotate(number=Count("pk"), since=Min("created_at"), review=Min("review_since"))
    )
    found = {state: (number, review or since) for state, number, since, review in counts}
    samples: Samples = []
    for state in OPEN_STATES:
        number, since = found.get(state, (0, None))
        samples.append((number_of, (state,), number))
        samples.append((oldest_of, (state,), _age(since, now)))
    return samples


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())

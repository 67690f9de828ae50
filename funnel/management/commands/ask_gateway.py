"""``ask_gateway``: settle what the gateways know of charges whose outcome is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from funnel.payments import verdicts
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery import sweeping
from funnel.payments.refunds import recovering
from funnel.payments.refunds.models import Refund
from funnel.payments.webhooks import handling
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """What the task ``funnel.ask_gateway`` does, now and in words."""

    help = (
        "Ask the gateways for the charges and refunds whose outcome is unknown, settle what "
        "they say, and act on stored webhooks. Nothing is charged, voided or refunded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--seconds",
            type=float,
            default=sweeping.RUN_SECONDS,
            help="stop asking after so many seconds (default: %(default)s)",
        )

    def handle(self, *_: Any, seconds: float, **__: Any) -> None:
        """Sweep once; say what became of each charge, and how many there were."""
        results = sweeping.sweep(seconds=seconds, tell=self._tell)
        events = handling.handle_left()
        refunds = recovering.ask_due(get_clock().now(), seconds=seconds)
        if not results and not events and not refunds:
            self.stdout.write(f"Nothing is due. {_what_is_open()}")
            return
        parts = [f"{number} {result}" for result, number in sorted(results.items())]
        if refunds:
            parts.append(f"{refunds} refunds asked for")
        if events:
            parts.append(f"{events} stored events handled")
        self.stdout.write(self.style.SUCCESS(", ".join(parts) + "."))

    def _tell(self, attempt: ChargeAttempt, result: str) -> None:
        attempt.refresh_from_db(fields=["state"])
        self.stdout.write(f"{attempt.gateway_order_id} ({attempt}): {result}")


def _what_is_open() -> str:
    """Say what has no outcome yet, and when it is asked for next."""
    found = [
        *ChargeAttempt.objects.filter(state__in=verdicts.ASKED_FOR).values_list("next_check_at"),
        *Refund.objects.filter(state__in=["claimed", "unknown"]).values_list("next_check_at"),
    ]
    times = [at for (at,) in found if at is not None]
    if not times:
        return "No charge or refund is open but for those in review."
    wait = max(0, round((min(times) - get_clock().now()).total_seconds()))
    return f"{len(found)} open; the next is asked for in {wait} s."

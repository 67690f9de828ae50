"""The site's periodic work."""

import logging
from datetime import timedelta

from celery import shared_task
from django.db import InterfaceError, OperationalError

from funnel.conf import get_conf
from funnel.hooks.delivering import Deliverer
from funnel.hooks.forgetting import forget_delivered
from funnel.payments.card_testing.stops import forget_old
from funnel.payments.models import IdempotencyRecord
from funnel.payments.recovery.sweeping import sweep
from funnel.payments.refunds.recovering import ask_due
from funnel.payments.webhooks.handling import handle_left
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import TierUnavailableError

logger = logging.getLogger(__name__)


@shared_task(name="funnel.forget_idempotency_keys", ignore_result=True)
def forget_idempotency_keys() -> int:
    """Drop idempotency records past their time whose charge is settled; return how many.

    With them goes the record of who was stopped long ago.
    """
    forget_old(get_clock().now())
    before = get_clock().now() - timedelta(hours=get_conf().IDEMPOTENCY_HOURS)
    old = IdempotencyRecord.objects.filter(created_at__lt=before, answer__isnull=False)
    deleted, _ = old.delete()
    return deleted


@shared_task(name="funnel.ask_gateway", ignore_result=True)
def ask_gateway() -> int:
    """Settle what gateways know of open charges and refunds; return how many were asked for."""
    try:
        handle_left()
        return sweep().total() + ask_due(get_clock().now())
    except (OperationalError, InterfaceError, TierUnavailableError) as exc:
        logger.warning("Left to the next run: %s", exc)
        return 0


@shared_task(name="funnel.deliver_hooks", ignore_result=True)
def deliver_hooks() -> int:
    """Hand on what is due of the orders; return how many deliveries arrived."""
    deliverer = Deliverer()
    try:
        deliverer.run()
    except (OperationalError, InterfaceError, TierUnavailableError) as exc:
        logger.warning("Left to the next run: %s", exc)
    return deliverer.done["delivered"]


@shared_task(name="funnel.forget_deliveries", ignore_result=True)
def forget_deliveries() -> int:
    """Drop deliveries that arrived and whose events are gone from the log; return how many."""
    return forget_delivered()

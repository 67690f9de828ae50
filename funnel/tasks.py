"""The site's periodic work."""

from datetime import timedelta

from celery import shared_task

from funnel.conf import get_conf
from funnel.payments.models import IdempotencyRecord
from sessions_unified.clock import get_clock


@shared_task(name="funnel.forget_idempotency_keys", ignore_result=True)
def forget_idempotency_keys() -> int:
    """Drop idempotency records past their time whose charge is settled; return how many."""
    before = get_clock().now() - timedelta(hours=get_conf().IDEMPOTENCY_HOURS)
    old = IdempotencyRecord.objects.filter(created_at__lt=before, answer__isnull=False)
    deleted, _ = old.delete()
    return deleted

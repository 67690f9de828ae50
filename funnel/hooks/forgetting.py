"""Dropping deliveries that nobody can need any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef

from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.models import SessionEvent

_BATCH: Final = 10_000


def forget_delivered() -> int:
    """Drop the oldest deliveries that arrived long ago; return how many, a batch at most.

    One whose event is still in the log stays: the relay may handle that again, after a restore,
    and would send an old order once more.
    """
    before = get_clock().now() - timedelta(days=get_conf().RETENTION_DAYS)
    event = SessionEvent.objects.filter(session_id=OuterRef("session_id"), seq=OuterRef("seq"))
    old = HookDelivery.objects.filter(
        ~Exists(event), state=HookDelivery.State.DELIVERED, delivered_at__lt=before
    )
    deleted, _ = HookDelivery.objects.filter(
        pk__in=list(old.order_by("pk").values_list("pk", flat=True)[:_BATCH])
    ).delete()
    return deleted

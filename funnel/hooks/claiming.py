"""Which delivery is next: due, first of its session and target, and nobody else's meanwhile.

A claim is a lease, committed before anything is sent. Whoever dies while sending leaves a lease
that ends, and the delivery comes again: at least once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from funnel.hooks.consumer import HookConsumer
from funnel.hooks.models import HookDelivery
from sessions_unified.models import LogCursor, SessionEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

State = HookDelivery.State


def claim(leases: Mapping[str, float], *, now: datetime) -> HookDelivery | None:
    """Take the next delivery of these targets (name → lease in seconds); None: nothing is due."""
    cursor = LogCursor.objects.filter(pk=HookConsumer.name).first()
    with transaction.atomic():
        due = HookDelivery.objects.filter(
            ~Exists(earlier()), state=State.PENDING, next_try_at__lte=now, target__in=list(leases)
        )
        if cursor is not None:
            due = due.exclude(Exists(_unread(cursor)))
        rows = due.select_for_update(skip_locked=True, of=("self",)).order_by("next_try_at", "pk")
        delivery = rows.first()
        if delivery is None:
            return None
        delivery.tries += 1
        delivery.next_try_at = now + timedelta(seconds=leases[delivery.target])
        delivery.save(update_fields=["tries", "next_try_at"])
    return delivery


def earlier(**conditions: Any) -> QuerySet[HookDelivery]:
    """Return the deliveries that a row of the outer query waits for."""
    before = Q(seq__lt=OuterRef("seq")) | Q(seq=OuterRef("seq"), pk__lt=OuterRef("pk"))
    return HookDelivery.objects.filter(
        before,
        ~Q(state=State.DELIVERED),
        target=OuterRef("target"),
        session_id=OuterRef("session_id"),
        **conditions,
    )


def _unread(cursor: LogCursor) -> QuerySet[SessionEvent]:
    """Return earlier events of the session that the consumer has not handled.

    The log's order is that of transactions, and a session's versions may come in another: a batch
    can end between two of them.
    """
    beyond = Q(xid__gt=cursor.xid) | Q(xid=cursor.xid, position__gt=cursor.position)
    return SessionEvent.objects.filter(
        beyond, session_id=OuterRef("session_id"), seq__lt=OuterRef("seq")
    )


def settle(delivery: HookDelivery, **changes: Any) -> bool:
    """Write what became of a claimed delivery; False: the claim is no longer this one's."""
    mine = HookDelivery.objects.filter(
        pk=delivery.pk,
        state=State.PENDING,
        tries=delivery.tries,
        next_try_at=delivery.next_try_at,
    )
    return bool(mine.update(**changes))

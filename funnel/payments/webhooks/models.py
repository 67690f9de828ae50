"""What a gateway told us, once an event id."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class GatewayEvent(models.Model):
    """One event of a gateway, stored before it is acted on.

    ``facts`` is the part of its body that we use: no card data, no personal data. ``handled_at``
    is null until what it says has been settled; ``outcome`` says what came of it.
    """

    gateway = models.CharField(max_length=32)
    event_id = models.CharField(max_length=100)
    event_type = models.CharField(max_length=64)
    order_id = models.CharField(max_length=100, blank=True)
    transaction_id = models.CharField(max_length=100, blank=True)
    facts = models.JSONField(default=dict)
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "gateway event"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gateway", "event_id"], name="funnel_event_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                "received_at",
                name="funnel_event_unhandled",
                condition=models.Q(handled_at=None),
            ),
            models.Index(fields=["order_id"], name="funnel_event_order"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"

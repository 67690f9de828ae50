"""One thing that one target must be told."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH


class HookDelivery(models.Model):
    """One event for one target; written by the relay, delivered by a worker.

    Of one session and target, a delivery waits for those with a lower ``seq``. ``facts`` holds no
    personal data: the order is read when it is delivered.
    """

    class State(models.TextChoices):
        """Pending ones are tried again; failed ones wait for a replay."""

        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    target = models.CharField(max_length=64)
    event_id = models.CharField(max_length=100)
    type = models.CharField(max_length=64)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    seq = models.BigIntegerField()
    facts = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "hook delivery"
        verbose_name_plural = "hook deliveries"
        permissions: ClassVar = [("replay_hook", "Can deliver hooks again")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["target", "event_id"], name="funnel_hook_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "delivered", "failed"]),
                name="funnel_hook_state",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                "next_try_at",
                name="funnel_hook_due",
                condition=models.Q(state="pending"),
            ),
            models.Index(
                "created_at",
                name="funnel_hook_failed",
                condition=models.Q(state="failed"),
            ),
            models.Index(fields=["target", "session_id", "seq"], name="funnel_hook_order"),
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.session_id} to {self.target}: {self.state}"

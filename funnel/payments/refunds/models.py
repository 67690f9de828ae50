"""One intent to give money back, written before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from django.db import models

from funnel.payments.models import OPEN_STATES, ChargeAttempt
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from decimal import Decimal

STATES: Final = [*OPEN_STATES, "succeeded", "refused"]


class Refund(models.Model):
    """One intent to refund or void (part of) a charge.

    One at a time may be open for an attempt. ``lines`` are what it gives back, with amounts above
    0. A void gives everything back.
    """

    class State(models.TextChoices):
        """The states; the first three are open."""

        CLAIMED = "claimed"
        UNKNOWN = "unknown"
        NEEDS_REVIEW = "needs_review"
        SUCCEEDED = "succeeded"
        REFUSED = "refused"

    class Kind(models.TextChoices):
        """How the money goes back."""

        REFUND = "refund"
        VOID = "void"

    OPEN: ClassVar = (State.CLAIMED, State.UNKNOWN, State.NEEDS_REVIEW)

    attempt = models.ForeignKey(ChargeAttempt, on_delete=models.PROTECT, related_name="refunds")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CLAIMED)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    lines = models.JSONField(default=list)
    gateway = models.CharField(max_length=32)
    gateway_order_id = models.CharField(max_length=100)
    transaction_id = models.CharField(max_length=100, null=True, blank=True)
    lease_until = models.DateTimeField()
    checks = models.PositiveSmallIntegerField(default=0)
    next_check_at = models.DateTimeField(null=True, blank=True)
    response = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text="the gateway's")
    requested_by = models.CharField(max_length=150)
    requested_reason = models.CharField(max_length=500)
    review_since = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True)
    resolved_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["gateway", "gateway_order_id"], name="funnel_refund_order_id"
            ),
            models.UniqueConstraint(
                fields=["attempt"],
                condition=models.Q(state__in=OPEN_STATES),
                name="funnel_refund_one_open",
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="funnel_refund_amount"),
            models.CheckConstraint(
                condition=models.Q(state__in=STATES), name="funnel_refund_state"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=OPEN_STATES, settled_at=None)
                | (~models.Q(state__in=OPEN_STATES) & models.Q(settled_at__isnull=False)),
                name="funnel_refund_settled",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                "next_check_at",
                name="funnel_refund_due",
                condition=models.Q(state__in=["claimed", "unknown"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.gateway_order_id}: {self.state}"

    @property
    def money(self) -> Decimal:
        """The amount, with exactly its currency's decimals."""
        return quantize(self.amount, self.attempt.currency)

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self.state in self.OPEN

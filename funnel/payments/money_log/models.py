"""One booking: an amount of one item, charged or given back."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund
from sessions_unified.ids import MAX_ID_LENGTH


class MoneyEntry(models.Model):
    """One booking. Rows are only ever added: the database refuses to change or drop one.

    ``amount`` is above 0 for a charge and below for what went back. An adjustment line of an order
    may be the other way round.
    """

    class Kind(models.TextChoices):
        """What happened."""

        CHARGE = "charge"
        REFUND = "refund"
        VOID = "void"

    session_id = models.CharField(max_length=MAX_ID_LENGTH, db_index=True)
    attempt = models.ForeignKey(
        ChargeAttempt, on_delete=models.PROTECT, related_name="money_entries"
    )
    refund = models.ForeignKey(
        Refund, null=True, blank=True, on_delete=models.PROTECT, related_name="money_entries"
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    purpose = models.CharField(max_length=80)
    line = models.PositiveSmallIntegerField(help_text="its place among the attempt's lines")
    item_kind = models.CharField(max_length=16)
    item = models.TextField(blank=True)
    name = models.TextField(blank=True)
    quantity = models.IntegerField(default=1)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    currency = models.CharField(max_length=3)
    actor = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "money entry"
        verbose_name_plural = "money entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["attempt", "line"],
                condition=models.Q(kind="charge"),
                name="funnel_money_charged_once",
            ),
            models.UniqueConstraint(
                fields=["refund", "line"],
                condition=models.Q(refund__isnull=False),
                name="funnel_money_refunded_once",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["charge", "refund", "void"]), name="funnel_money_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.currency} of {self.session_id}"

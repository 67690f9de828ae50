"""The sandbox's own books: what it charged and gave back, whatever anyone believes."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class SandboxCharge(models.Model):
    """One charge that the sandbox made; tests compare these books with the shop's."""

    order_id = models.CharField(max_length=100, unique=True)
    transaction_id = models.CharField(max_length=100, unique=True)
    vault_id = models.CharField(max_length=100, db_index=True)
    card = models.CharField(max_length=64, help_text="the payment token of the first sale")
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "sandbox charge"

    def __str__(self) -> str:
        return f"{self.order_id}: {self.amount} {self.currency}"


class SandboxReversal(models.Model):
    """One void or refund of a charge; a void is the only one of its charge."""

    charge = models.ForeignKey(SandboxCharge, on_delete=models.CASCADE, related_name="reversals")
    order_id = models.CharField(max_length=100, unique=True)
    transaction_id = models.CharField(max_length=100, unique=True)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    is_void = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "sandbox reversal"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(amount__gt=0), name="funnel_sandbox_reversal_amount"
            ),
            models.UniqueConstraint(
                fields=["charge"],
                condition=models.Q(is_void=True),
                name="funnel_sandbox_one_void",
            ),
        ]

    def __str__(self) -> str:
        kind = "void" if self.is_void else "refund"
        return f"{self.order_id}: {kind} of {self.amount} {self.charge.currency}"

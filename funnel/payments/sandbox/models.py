"""The sandbox's own books: what it charged, whatever anyone believes."""

from __future__ import annotations

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

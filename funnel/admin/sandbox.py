"""The sandbox gateway's own books."""

from __future__ import annotations

from django.contrib import admin

from funnel.admin.base import MoneyAdmin
from funnel.payments.sandbox.models import SandboxCharge


@admin.register(SandboxCharge)
class SandboxChargeAdmin(MoneyAdmin):
    """What the sandbox charged."""

    list_display = ("created", "order_id", "transaction_id", "total")
    search_fields = ("order_id",)
    search_help_text = "A whole order id or transaction id."
    exact_search = ("order_id", "transaction_id")
    fields = readonly_fields = ("order_id", "transaction_id", "total", "vault", "created_at")

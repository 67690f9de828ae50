"""The money log, newest first. The database itself refuses to change or drop a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from funnel.admin.base import MoneyAdmin
from funnel.payments.money_log.models import MoneyEntry
from sessions_unified.admin import formatting
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


@admin.register(MoneyEntry)
class MoneyEntryAdmin(MoneyAdmin):
    """Every amount that was charged or given back."""

    list_display = ("booked", "session", "kind", "charge", "what", "total", "actor")
    list_display_links = ("booked",)
    list_filter = ("kind",)
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    fields = readonly_fields = (
        *("session", "kind", "charge", "refund", "what", "item_kind", "quantity", "total"),
        *("actor", "at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries with what they belong to."""
        return super().get_queryset(request).select_related("attempt", "refund")

    @admin.display(description="booked")
    def booked(self, entry: MoneyEntry) -> SafeString | str:
        """When."""
        return formatting.when(entry.at, get_clock().now())

    @admin.display(description="charge")
    def charge(self, entry: MoneyEntry) -> SafeString:
        """The charge, linked."""
        url = reverse("admin:funnel_chargeattempt_change", args=[entry.attempt_id])
        return format_html('<a href="{}">{}</a>', url, entry.purpose)

    @admin.display(description="item")
    def what(self, entry: MoneyEntry) -> str:
        """What it is for."""
        return entry.name or entry.item or formatting.NOTHING

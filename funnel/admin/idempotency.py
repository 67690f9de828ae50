"""Which idempotency keys were used for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from funnel.admin.base import MoneyAdmin
from funnel.payments.models import IdempotencyRecord

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(MoneyAdmin):
    """Which keys were used for what; the answers hold personal data and stay hidden."""

    list_display = ("created", "session", "key", "status", "answered")
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    fields = readonly_fields = ("session", "key", "attempt", "status", "answered", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows with their attempts."""
        return super().get_queryset(request).select_related("attempt")

    @admin.display(description="answer", boolean=True)
    def answered(self, record: IdempotencyRecord) -> bool:
        """Whether it is known; never what it says."""
        return record.answer is not None

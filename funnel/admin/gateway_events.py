"""What gateways told, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.utils.html import format_html, format_html_join

from funnel.admin.base import MoneyAdmin
from funnel.payments.webhooks.models import GatewayEvent
from sessions_unified.admin import formatting
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class HandledFilter(SimpleListFilter):
    """By whether they have been acted on."""

    title = "handled"
    parameter_name = "handled"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("no", "not yet"), ("yes", "yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen events."""
        if self.value() is None:
            return queryset
        return queryset.filter(handled_at__isnull=self.value() == "no")


@admin.register(GatewayEvent)
class GatewayEventAdmin(MoneyAdmin):
    """What gateways told."""

    list_display = ("received", "event_type", "order_id", "transaction_id", "outcome", "is_handled")
    list_display_links = ("received",)
    list_filter = (HandledFilter,)
    search_fields = ("event_id",)
    search_help_text = "A whole event id, order id or transaction id."
    exact_search = ("event_id", "order_id", "transaction_id")
    fields = readonly_fields = (
        *("gateway", "event_id", "event_type", "order_id", "transaction_id", "said"),
        *("received", "handled", "outcome"),
    )

    @admin.display(description="received")
    def received(self, event: GatewayEvent) -> SafeString | str:
        """When it came."""
        return formatting.when(event.received_at, get_clock().now())

    @admin.display(description="handled")
    def handled(self, event: GatewayEvent) -> SafeString | str:
        """When it was acted on."""
        return formatting.when(event.handled_at, get_clock().now())

    @admin.display(description="handled", boolean=True)
    def is_handled(self, event: GatewayEvent) -> bool:
        """Whether it was acted on."""
        return event.handled_at is not None

    @admin.display(description="what it says")
    def said(self, event: GatewayEvent) -> SafeString | str:
        """The facts that are kept of it."""
        facts = [(formatting.words(name), value) for name, value in event.facts.items()]
        if not facts:
            return formatting.NOTHING
        return format_html("{}", format_html_join(" · ", "{}: {}", facts))

"""Every intent to charge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter

from funnel.admin.base import MoneyAdmin, state_badge
from funnel.catalog import OFFERS
from funnel.payments.models import CHECKOUT, ChargeAttempt, upsell_purpose

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class PurposeFilter(SimpleListFilter):
    """By what was charged for: the order, or one of the catalogue's offers."""

    title = "purpose"
    parameter_name = "purpose"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the purposes."""
        offers = [(upsell_purpose(offer), f"upsell {offer}") for offer in OFFERS]
        return [(CHECKOUT, "checkout"), *offers]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the attempts of the chosen purpose."""
        return queryset.filter(purpose=self.value()) if self.value() else queryset


@admin.register(ChargeAttempt)
class ChargeAttemptAdmin(MoneyAdmin):
    """Every intent to charge."""

    list_display = (
        *("created", "session", "purpose", "state_shown", "total"),
        *("gateway_order_id", "transaction_id"),
    )
    list_display_links = ("created",)
    list_filter = ("state", PurposeFilter)
    search_fields = ("session_id",)
    search_help_text = "A whole session id, transaction id or order id."
    exact_search = ("session_id", "transaction_id", "gateway_order_id")
    fields = readonly_fields = (
        *("session", "what_for", "step", "state_shown", "total", "gateway", "gateway_order_id"),
        *("transaction_id", "vault", "reason", "lease_until", "created_at", "settled_at"),
    )

    @admin.display(description="purpose")
    def what_for(self, attempt: ChargeAttempt) -> str:
        """What is charged; without the field's help text, which the admin takes for markup."""
        return attempt.purpose

    @admin.display(description="state")
    def state_shown(self, attempt: ChargeAttempt) -> SafeString:
        """The state as a badge."""
        return state_badge(attempt)

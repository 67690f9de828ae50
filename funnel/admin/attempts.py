"""Every intent to charge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import path, reverse
from django.utils.html import format_html

from funnel.admin import reviews
from funnel.admin.base import MoneyAdmin, state_badge
from funnel.admin.card_testing import AddressFilter, CardFilter
from funnel.admin.giving_back import give_back_url, may_give_back
from funnel.catalog import OFFERS
from funnel.payments.models import CHECKOUT, ChargeAttempt, upsell_purpose
from sessions_unified.admin import formatting
from sessions_unified.admin.filters import ValueFilter
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


class PurposeFilter(ValueFilter):
    """By what was charged for: the order, or one of the catalogue's offers."""

    title = "purpose"
    parameter_name = "purpose"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the purposes."""
        offers = [(upsell_purpose(offer), offer) for offer in OFFERS if not OFFERS[offer].is_bump]
        return [(CHECKOUT, "checkout"), *offers]


class AttentionFilter(SimpleListFilter):
    """By what a person should look at."""

    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [
            ("review", "waits for a decision"),
            ("surplus", "to be given back"),
            ("contradicted", "contradicted by the gateway"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen attempts; what waits for a decision longest first."""
        match self.value():
            case "review":
                waiting = queryset.filter(state=ChargeAttempt.State.NEEDS_REVIEW)
                return waiting.order_by("review_since", "pk")
            case "surplus":
                return queryset.filter(state=ChargeAttempt.State.SURPLUS)
            case "contradicted":
                return queryset.exclude(discrepancy="")
        return queryset


@admin.register(ChargeAttempt)
class ChargeAttemptAdmin(MoneyAdmin):
    """Every intent to charge."""

    list_display = (
        *("created", "state_shown", "waiting", "session", "purpose", "total"),
        "at_gateway",
    )
    list_display_links = ("created",)
    list_filter = (AttentionFilter, "state", PurposeFilter, AddressFilter, CardFilter)
    search_fields = ("session_id",)
    search_help_text = "A whole session id, transaction id or order id."
    exact_search = ("session_id", "transaction_id", "gateway_order_id")
    fields = readonly_fields = (
        *("session", "what_for", "step", "state_shown", "total", "gateway", "gateway_order_id"),
        *("transaction_id", "vault", "reason", "lease_until", "checks"),
        *("next_check_at", "created_at", "settled_at", "review_since"),
    )
    change_form_template = "admin/funnel/attempt.html"

    def get_fields(self, request: HttpRequest, obj: ChargeAttempt | None = None) -> Any:
        """Add who decided on it, if anybody did."""
        decided = ("resolved_by", "resolved_reason", "resolved_at")
        is_decided = obj is not None and obj.resolved_at is not None
        return [*self.fields, *decided] if is_decided else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ChargeAttempt | None = None) -> Any:
        """Return them all."""
        return self.get_fields(request, obj)

    def get_urls(self) -> list[URLPattern]:
        """Add the page of a decision, before Django's own."""
        review = path(
            "<int:pk>/review/",
            self.admin_site.admin_view(self.review_view),
            name="funnel_chargeattempt_review",
        )
        return [review, *super().get_urls()]

    def review_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let a person decide on a charge in review.

        Raises:
            Http404: there is no such attempt.
            PermissionDenied: this user may not see it.

        """
        attempt = self.get_queryset(request).filter(pk=pk).first()
        if attempt is None:
            raise Http404
        if not self.has_view_permission(request, attempt):
            raise PermissionDenied
        return reviews.review_view(self, request, attempt)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an attempt, and the way to a decision where one is needed."""
        attempt = self.get_object(request, object_id)
        context = {} if attempt is None else self._attention(request, attempt)
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @staticmethod
    def _attention(request: HttpRequest, attempt: ChargeAttempt) -> dict[str, Any]:
        is_in_review = attempt.state == ChargeAttempt.State.NEEDS_REVIEW
        url = reverse("admin:funnel_chargeattempt_review", args=[attempt.pk])
        return {
            "in_review": is_in_review,
            "review_url": url if reviews.may_decide(request.user, attempt) else "",
            "contradiction": attempt.discrepancy,
            "refund_url": give_back_url(attempt) if may_give_back(request.user, attempt) else "",
        }

    @admin.display(description="at the gateway")
    def at_gateway(self, attempt: ChargeAttempt) -> SafeString:
        """What the gateway knows it by."""
        lines = '<span class="su-code">{}</span><br><span class="su-code">{}</span>'
        return format_html(
            lines, attempt.gateway_order_id, attempt.transaction_id or formatting.NOTHING
        )

    @admin.display(description="in review")
    def waiting(self, attempt: ChargeAttempt) -> SafeString | str:
        """Since when a person is needed."""
        if attempt.review_since is None:
            return formatting.NOTHING
        return formatting.when(attempt.review_since, get_clock().now())

    @admin.display(description="purpose")
    def what_for(self, attempt: ChargeAttempt) -> str:
        """What is charged; without the field's help text, which the admin takes for markup."""
        return attempt.purpose

    @admin.display(description="state")
    def state_shown(self, attempt: ChargeAttempt) -> SafeString:
        """The state as a badge, and whether the gateway contradicts it."""
        badge = state_badge(attempt)
        if not attempt.discrepancy:
            return badge
        mark = '{}<br><span class="su-mark su-held" title="{}">contradicted</span>'
        return format_html(mark, badge, attempt.discrepancy)

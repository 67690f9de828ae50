"""Every intent to give money back, and the decision on one whose outcome nobody can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from funnel.admin.base import MoneyAdmin
from funnel.admin.giving_back import give_back_view
from funnel.admin.reasons import ReasonField
from funnel.admin.reviews import PERMISSION
from funnel.exceptions import RefundRefusedError
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.resolving import not_executed_from, resolve_refund
from sessions_unified.admin import formatting
from sessions_unified.admin.base import STAFF, staff_manager
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

_LOOKS: Final = {
    Refund.State.CLAIMED: "processing",
    Refund.State.UNKNOWN: "expired",
    Refund.State.NEEDS_REVIEW: "expired",
    Refund.State.SUCCEEDED: "completed",
    Refund.State.REFUSED: "failed",
}


def refund_badge(refund: Refund) -> SafeString:
    """Return a refund's state as a coloured badge."""
    state = Refund.State(refund.state)
    look = _LOOKS[state]
    return formatting.coloured(look, formatting.words(state))


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """Return actor → who it is: staff by name, in one query."""
    ids = {each.removeprefix(STAFF) for each in actors if each.startswith(STAFF)}
    users = get_user_model().objects.filter(pk__in=[each for each in ids if each.isdecimal()])
    return {f"{STAFF}{user.pk}": user.get_username() for user in users}


class ResolveForm(forms.Form):
    """What a person knows of a refund."""

    EXECUTED: Final = "executed"
    NOT_EXECUTED: Final = "not_executed"

    what = forms.ChoiceField(
        choices=[
            (EXECUTED, "It was executed, with this transaction id"),
            (NOT_EXECUTED, "It was not executed"),
        ],
        widget=forms.RadioSelect,
        label="What the gateway shows",
    )
    transaction_id = forms.CharField(
        max_length=100,
        required=False,
        label="Transaction id",
        widget=forms.TextInput(attrs={"class": "su-wide", "autocomplete": "off"}),
    )
    reason = ReasonField()


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    """Every intent to give money back."""

    list_display = ("created", "session", "purpose", "kind", "state_shown", "total", "who")
    list_display_links = ("created",)
    list_filter = ("state", "kind")
    search_fields = ("gateway_order_id",)
    search_help_text = "A whole session id, order id or transaction id."
    exact_search = ("attempt__session_id", "gateway_order_id", "transaction_id")
    fields = readonly_fields = (
        *("session", "charge", "kind", "state_shown", "total", "given_back", "gateway"),
        *("gateway_order_id", "transaction_id", "reason", "who", "requested_reason"),
        *("created_at", "lease_until", "checks", "next_check_at", "review_since", "settled_at"),
        *("resolved", "resolved_reason"),
    )
    change_form_template = "admin/funnel/refund.html"

    def get_urls(self) -> list[URLPattern]:
        """Add giving back and deciding, before Django's own."""
        site = self.admin_site
        return [
            path(
                "of/<int:attempt_id>/",
                site.admin_view(self.give_back_view),
                name="funnel_refund_give_back",
            ),
            path(
                "<int:pk>/resolve/",
                site.admin_view(self.resolve_view),
                name="funnel_refund_resolve",
            ),
            *super().get_urls(),
        ]

    def give_back_view(self, request: HttpRequest, attempt_id: int) -> HttpResponse:
        """Give a charge, or some of it, back."""
        return give_back_view(self, request, attempt_id)

    def resolve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take a person's decision on a refund in review.

        Raises:
            PermissionDenied: this user decides on nothing.
            Http404: there is no such refund.

        """
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        refund = Refund.objects.select_related("attempt").filter(pk=pk).first()
        if refund is None:
            raise Http404
        back = reverse("admin:funnel_refund_change", args=[pk])
        form = ResolveForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid() and self._resolve(request, refund, form):
            return redirect(back)
        possible_at = not_executed_from(refund)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": "Decide on a refund",
            "refund": refund,
            "badge": refund_badge(refund),
            "form": form,
            "back": back,
            "amount": formatting.money(refund.amount, refund.attempt.currency),
            "possible_at": formatting.absolute(possible_at) if possible_at else "",
            "is_early": possible_at is None or get_clock().now() < possible_at,
            "session_link": formatting.session_link(refund.attempt.session_id),
        }
        return TemplateResponse(request, "admin/funnel/resolve_refund.html", context)

    def _resolve(self, request: HttpRequest, refund: Refund, form: ResolveForm) -> bool:
        given = form.cleaned_data
        is_executed = given["what"] == ResolveForm.EXECUTED
        try:
            settled = resolve_refund(
                staff_manager(request),
                refund.pk,
                transaction_id=given["transaction_id"] if is_executed else None,
                reason=given["reason"],
            )
        except RefundRefusedError as exc:
            form.add_error(None, str(exc))
            return False
        text = f"Decided: the refund has {settled.get_state_display().lower()}."
        if settled.state == Refund.State.REFUSED:
            text = "Decided: it was not given back."
        self.log_change(request, settled, text)
        messages.success(request, text)
        return True

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a refund, and the way to a decision where one is needed."""
        refund = self.get_object(request, object_id)
        is_in_review = refund is not None and refund.state == Refund.State.NEEDS_REVIEW
        may = is_in_review and request.user.has_perm(PERMISSION)
        url = reverse("admin:funnel_refund_resolve", args=[refund.pk]) if refund and may else ""
        context = {"in_review": is_in_review, "resolve_url": url, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the refunds with their charges."""
        return super().get_queryset(request).select_related("attempt")

    @admin.display(description="session")
    def session(self, row: Refund) -> SafeString:
        """The session, linked; it may be gone."""
        return formatting.session_link(row.attempt.session_id)

    @admin.display(description="of")
    def purpose(self, row: Refund) -> str:
        """What was charged."""
        return row.attempt.purpose

    @admin.display(description="charge")
    def charge(self, row: Refund) -> SafeString:
        """The charge, linked."""
        url = reverse("admin:funnel_chargeattempt_change", args=[row.attempt_id])
        return format_html('<a href="{}">{}</a>', url, row.attempt.purpose)

    @admin.display(description="amount")
    def total(self, row: Refund) -> str:
        """The amount with its currency."""
        return formatting.money(row.amount, row.attempt.currency)

    @admin.display(description="lines")
    def given_back(self, row: Refund) -> str:
        """What is given back of which line."""
        lines = (f"{each['name'] or each['item']}: {each['amount']}" for each in row.lines)
        return ", ".join(lines) or formatting.NOTHING

    @admin.display(description="state")
    def state_shown(self, row: Refund) -> SafeString:
        """The state as a badge."""
        return refund_badge(row)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list with its people named, in one query."""
        found = super().get_changelist_instance(request)
        rows: Any = found.result_list
        names = names_of(row.requested_by for row in rows)
        for row in rows:
            row.asked_by = names.get(row.requested_by, row.requested_by)
        return found

    @admin.display(description="asked for by")
    def who(self, row: Refund) -> str:
        """Who asked for it."""
        known: str | None = getattr(row, "asked_by", None)
        return known or names_of([row.requested_by]).get(row.requested_by, row.requested_by)

    @admin.display(description="decided by")
    def resolved(self, row: Refund) -> str:
        """Who decided on it."""
        name = names_of([row.resolved_by]).get(row.resolved_by, row.resolved_by)
        return name or formatting.NOTHING

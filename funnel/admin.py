"""The money in Django's admin: attempts on a session's page and in lists, all read-only.

Importing the core's admin registers it; its sessions and events are registered again with ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.urls import reverse
from django.utils.html import format_html

from funnel.catalog import OFFERS
from funnel.payments.models import CHECKOUT, ChargeAttempt, IdempotencyRecord, upsell_purpose
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import admin as core
from sessions_unified.admin import formatting
from sessions_unified.admin.base import ExactSearchAdmin
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionExpiredError
from sessions_unified.links import create_link
from sessions_unified.models import SessionEvent, UnifiedSession

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from sessions_unified.admin.page import SessionPage
    from sessions_unified.manager import UnifiedSessionManager

_LINKS_AT_ONCE = 20


def _make_link(manager: UnifiedSessionManager, target: core.Target) -> core.Outcome:
    text = "One-time link made"
    try:
        manager.get_session(target.id, fresh=True)
    except SessionExpiredError:
        text = "One-time link made, but the session is over: its shopper can only start again"
    secret = create_link(target.id, actor=manager.actor)
    url = f"{settings.SITE_URL.rstrip('/')}/s/{secret}"
    return core.Outcome(session_id=target.id, result="done", text=text, secret=url)


LINK = core.Act(
    name="link",
    label="Make a one-time link",
    permission="change",
    explanation="Whoever opens the link first is this session's shopper, with the stored card. "
    "Send it to the customer alone.",
    run=_make_link,
    limit=_LINKS_AT_ONCE,
)


class FunnelSessionAdmin(core.UnifiedSessionAdmin):
    """A session with its charges, and links that bring its shopper back."""

    acts: ClassVar = (*core.UnifiedSessionAdmin.acts[:3], LINK, *core.UnifiedSessionAdmin.acts[3:])

    def panels(self, request: HttpRequest, page: SessionPage) -> list[core.Panel]:
        """Add the charges, for those who may see them."""
        if not request.user.has_perm("funnel.view_chargeattempt"):
            return []
        attempts = ChargeAttempt.objects.filter(session_id=page.row.pk).order_by("created_at")
        rows = [_attempt_row(attempt) for attempt in attempts]
        context = {"rows": rows}
        return [core.Panel(title="Charges", template="admin/funnel/charges.html", context=context)]


def _attempt_row(attempt: ChargeAttempt) -> dict[str, Any]:
    now = get_clock().now()
    return {
        "attempt": attempt,
        "url": reverse("admin:funnel_chargeattempt_change", args=[attempt.pk]),
        "state": state_badge(attempt),
        "amount": formatting.money(attempt.amount, attempt.currency),
        "created": formatting.when(attempt.created_at, now),
        "settled": formatting.when(attempt.settled_at, now),
    }


class FunnelEventAdmin(core.SessionEventAdmin):
    """The event log, with the kinds that charges write."""

    kinds = (
        *core.SessionEventAdmin.kinds,
        *("charge_started", "charge_succeeded", "charge_declined", "charge_unknown"),
        *("charge_needs_review", "charge_surplus"),
        *("upsell_started", "upsell_succeeded", "upsell_declined", "upsell_charge_declined"),
    )


admin.site.site_header = admin.site.site_title = "Funnel"
admin.site.unregister([UnifiedSession, SessionEvent])
admin.site.register(UnifiedSession, FunnelSessionAdmin)
admin.site.register(SessionEvent, FunnelEventAdmin)


_LOOKS = {
    ChargeAttempt.State.SUCCEEDED: "completed",
    ChargeAttempt.State.DECLINED: "failed",
    ChargeAttempt.State.REJECTED: "failed",
    ChargeAttempt.State.CLAIMED: "processing",
    ChargeAttempt.State.UNKNOWN: "expired",
    ChargeAttempt.State.NEEDS_REVIEW: "expired",
    ChargeAttempt.State.SURPLUS: "expired",
}


def state_badge(attempt: ChargeAttempt) -> SafeString:
    """Return an attempt's state as a coloured badge."""
    state = ChargeAttempt.State(attempt.state)
    look = _LOOKS.get(state, "other")
    return format_html('<span class="su-badge su-{}">{}</span>', look, formatting.words(state))


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


class MoneyAdmin(ExactSearchAdmin[Any]):
    """What the rows of money have in common."""

    sortable_by = ()
    ordering = ("-id",)

    @admin.display(description="session")
    def session(self, row: Any) -> SafeString:
        """The session, linked."""
        return formatting.session_link(row.session_id)

    @admin.display(description="amount")
    def total(self, row: Any) -> str:
        """The amount with its currency."""
        return formatting.money(row.amount, row.currency)

    @admin.display(description="created")
    def created(self, row: Any) -> SafeString | str:
        """When it was written."""
        return formatting.when(row.created_at, get_clock().now())

    @admin.display(description="card in the vault")
    def vault(self, row: Any) -> str:
        """Whether there is one; never which."""
        return formatting.presence(row.vault_id)


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


@admin.register(SandboxCharge)
class SandboxChargeAdmin(MoneyAdmin):
    """What the sandbox charged."""

    list_display = ("created", "order_id", "transaction_id", "total")
    search_fields = ("order_id",)
    search_help_text = "A whole order id or transaction id."
    exact_search = ("order_id", "transaction_id")
    fields = readonly_fields = ("order_id", "transaction_id", "total", "vault", "created_at")


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

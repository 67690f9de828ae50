"""What the shop's other systems are told of orders, and a button that tells them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Exists
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from funnel.admin.base import MoneyAdmin
from funnel.conf import get_conf
from funnel.hooks.claiming import earlier
from funnel.hooks.event import TYPES
from funnel.hooks.models import HookDelivery
from funnel.hooks.replaying import REPLAYABLE, replay
from sessions_unified.admin import formatting
from sessions_unified.admin.filters import ValueFilter
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

State = HookDelivery.State
_PAGE: Final = "admin:funnel_hookdelivery_change"
_LIST: Final = "admin:funnel_hookdelivery_changelist"
_LOOKS: Final = {State.DELIVERED: "completed", State.FAILED: "failed", State.PENDING: "processing"}


class TargetFilter(ValueFilter):
    """By the targets that are configured."""

    title = "target"
    parameter_name = "target"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the targets."""
        return [(name, name) for name in get_conf().HOOKS]


class TypeFilter(ValueFilter):
    """By what happened."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the types."""
        return [(kind, formatting.words(kind)) for kind in TYPES]


@admin.register(HookDelivery)
class HookDeliveryAdmin(MoneyAdmin):
    """Every event for every target, and what became of it."""

    list_display = (
        *("occurred", "state_shown", "kind", "problem", "session"),
        *("target", "tries", "next_try"),
    )
    list_display_links = ("occurred",)
    list_filter = ("state", TypeFilter, TargetFilter)
    search_fields = ("session_id",)
    search_help_text = "A whole session id or event id."
    exact_search = ("session_id", "event_id")
    actions = ("deliver_again",)
    change_form_template = "admin/funnel/delivery.html"
    fields = readonly_fields = (
        *("state_shown", "kind", "target_shown", "session", "event_id", "seq", "what"),
        *("tries", "problem", "occurred_at", "created_at", "next_try", "delivered_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows, and whether each waits for another."""
        rows: QuerySet[Any] = super().get_queryset(request)
        failed = Exists(earlier(state=State.FAILED))
        found: QuerySet[Any] = rows.annotate(waits=Exists(earlier()), waits_for_failed=failed)
        return found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say first that something has failed, with the way to it."""
        if request.method == "GET" and "state__exact" not in request.GET:
            self._warn(request)
        return super().changelist_view(request, extra_context)

    def _warn(self, request: HttpRequest) -> None:
        failed = HookDelivery.objects.filter(state=State.FAILED)[: self.paginator.CAP].count()
        if failed:
            number = f"{failed:,} deliveries have" if failed > 1 else "One delivery has"
            text = (
                "{} failed in all tries. Later ones of the same session wait behind. "
                '<a href="{}?state__exact=failed">Show failed</a>'
            )
            messages.warning(request, format_html(text, number, reverse(_LIST)))

    # What rows say

    @admin.display(description="occurred")
    def occurred(self, row: Any) -> SafeString | str:
        """When it happened."""
        return formatting.when(row.occurred_at, get_clock().now())

    @admin.display(description="state")
    def state_shown(self, row: Any) -> SafeString:
        """The state as a badge; of a pending one, whether it waits for another."""
        text = row.state
        if row.state == State.PENDING and row.waits:
            text = "waiting"
        look = "expired" if text == "waiting" else _LOOKS[State(row.state)]
        return formatting.coloured(look, text)

    @admin.display(description="type")
    def kind(self, row: Any) -> str:
        """What happened."""
        return formatting.words(row.type)

    @admin.display(description="target")
    def target_shown(self, row: Any) -> str:
        """Who is told; a target of the past is called that."""
        gone = "" if row.target in get_conf().HOOKS else " (not in HOOKS any more)"
        return f"{row.target}{gone}"

    @admin.display(description="facts")
    def what(self, row: Any) -> SafeString | str:
        """What happened: nothing personal is kept here."""
        facts = [f"{label}: {text}" for label, text in formatting.facts(row.facts)]
        return ", ".join(facts) if row.facts else formatting.NOTHING

    @admin.display(description="problem")
    def problem(self, row: Any) -> str:
        """Why it is not delivered."""
        if row.state == State.DELIVERED:
            return formatting.NOTHING
        if row.state == State.PENDING and row.waits_for_failed:
            return "Waits behind a failed one of its session"
        if row.state == State.PENDING and row.waits:
            return "Waits for an earlier one of its session"
        if row.state == State.PENDING and row.target not in get_conf().HOOKS:
            return "Its target is not in HOOKS any more"
        return row.last_error.capitalize() or formatting.NOTHING

    @admin.display(description="next try")
    def next_try(self, row: Any) -> SafeString | str:
        """When it is tried again; a failed one is not."""
        if row.state != State.PENDING or row.waits:
            return formatting.NOTHING
        now = get_clock().now()
        return "now" if row.next_try_at <= now else formatting.when(row.next_try_at, now)

    # Delivering again

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may deliver again."""
        return bool(request.user.has_perm("funnel.replay_hook"))

    @admin.action(description="Deliver again", permissions=["replay"])
    def deliver_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Make the chosen ones due."""
        chosen = list(queryset.order_by("pk").values_list("pk", flat=True))
        self._replay(request, HookDelivery.objects.filter(pk__in=chosen))

    def _replay(self, request: HttpRequest, rows: QuerySet[HookDelivery]) -> None:
        found = list(rows.filter(state__in=REPLAYABLE))
        number = replay(rows)
        for row in found:
            self.log_change(request, row, f"Delivers again; it was {row.state}.")
        if not number:
            messages.info(request, "Nothing to do: what is pending is delivered by itself.")
            return
        what, them = ("delivery is", "it") if number == 1 else ("deliveries are", "them")
        text = f"{number:,} {what} due again; a worker sends {them} within seconds."
        messages.success(request, text)

    def get_urls(self) -> list[URLPattern]:
        """Add the button's address."""
        again = path(
            "<path:object_id>/deliver-again/",
            self.admin_site.admin_view(self.deliver_one_again),
            name="funnel_hookdelivery_again",
        )
        return [again, *super().get_urls()]

    def deliver_one_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make one due; only by POST, and only who may."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_replay_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        self._replay(request, HookDelivery.objects.filter(pk=row.pk))
        return HttpResponseRedirect(reverse(_PAGE, args=[quote(row.pk)]))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Offer the button where it does something."""
        row = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if row is not None and row.state in REPLAYABLE and self.has_replay_permission(request):
            context["again"] = reverse("admin:funnel_hookdelivery_again", args=[quote(row.pk)])
            context["was_delivered"] = row.state == State.DELIVERED
        return super().change_view(request, object_id, form_url, context)

"""Who was refused charges after too many declines, and a button that lets them through again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.urls import reverse
from django.utils.html import format_html

from funnel.payments import verdicts
from funnel.payments.card_testing import stops
from funnel.payments.card_testing.models import CardTestingStop
from sessions_unified.admin import formatting
from sessions_unified.admin.base import ExactSearchAdmin
from sessions_unified.admin.filters import ValueFilter
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

Scope = CardTestingStop.Scope
_ATTEMPTS: Final = "admin:funnel_chargeattempt_changelist"
_HASH_SHOWN: Final = 12


def short(subject: str) -> str:
    """Return as much of a keyed hash as tells it from others."""
    return f"{subject[:_HASH_SHOWN]}…"


class StopFilter(SimpleListFilter):
    """By whether charges are refused now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("stopped", "stopped now"), ("past", "past")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen stops."""
        holding = stops.holding(get_clock().now())
        if self.value() == "stopped":
            return queryset.filter(holding)
        return queryset.exclude(holding) if self.value() == "past" else queryset


class _RefusedFilter(ValueFilter):
    """By one keyed hash; offered only where a link has named it.

    Only what was refused is found: it is what was counted, and what has an index.
    """

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the hash that the address names."""
        value = self.value()
        return [(value, short(value))] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the refused attempts of it."""
        found = super().queryset(request, queryset)
        return found.filter(state__in=verdicts.REFUSED) if self.value() else found


class AddressFilter(_RefusedFilter):
    """By the hash of the payer's network address."""

    title = "declines of address"
    parameter_name = "address"


class CardFilter(_RefusedFilter):
    """By the hash of the card's fingerprint."""

    title = "declines of card"
    parameter_name = "card"


@admin.register(CardTestingStop)
class CardTestingStopAdmin(ExactSearchAdmin[CardTestingStop]):
    """A list without pages of single stops: there is nothing more to show."""

    list_display = (
        *("state_shown", "scope", "subject_shown", "declines", "refusals"),
        *("last", "until_shown", "cleared"),
    )
    list_display_links = None
    list_filter = (StopFilter, "scope")
    ordering = ("-last_at",)
    sortable_by = ()
    search_fields = ("subject",)
    search_help_text = "A whole session id."
    exact_search = ("subject",)
    actions = ("let_through",)
    fields = readonly_fields = ("scope", "subject", "declines", "refusals", "first_at", "last_at")

    @admin.display(description="last refusal")
    def last(self, stop: CardTestingStop) -> SafeString | str:
        """When a charge was refused last."""
        return formatting.when(stop.last_at, get_clock().now())

    @admin.display(description="state")
    def state_shown(self, stop: CardTestingStop) -> SafeString:
        """Whether charges are refused now."""
        is_held = stops.holds(stop, get_clock().now())
        look, text = ("failed", "stopped") if is_held else ("other", "past")
        return formatting.coloured(look, text)

    @admin.display(description="subject")
    def subject_shown(self, stop: CardTestingStop) -> SafeString:
        """The session, or a keyed hash that leads to what was declined."""
        if stop.scope == Scope.SESSION:
            return formatting.session_link(stop.subject)
        url = f"{reverse(_ATTEMPTS)}?{urlencode({stop.scope: stop.subject})}"
        return format_html('<a class="su-code" href="{}">{}</a>', url, short(stop.subject))

    @admin.display(description="until")
    def until_shown(self, stop: CardTestingStop) -> SafeString | str:
        """When so few declines count that charges are tried again."""
        return formatting.when(stop.until, get_clock().now())

    @admin.display(description="let through")
    def cleared(self, stop: CardTestingStop) -> SafeString | str:
        """Who let it through again, and when."""
        if stop.cleared_at is None:
            return formatting.NOTHING
        return formatting.labelled(f"by {stop.cleared_by}", stop.cleared_at, get_clock().now())

    def has_clear_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may let through again."""
        return bool(request.user.has_perm("funnel.change_cardtestingstop"))

    @admin.action(description="Let through again", permissions=["clear"])
    def let_through(self, request: HttpRequest, queryset: QuerySet[CardTestingStop]) -> None:
        """Count their declines anew from now on."""
        now, number = get_clock().now(), 0
        for stop in queryset:
            if stops.clear(stop, by=request.user.get_username(), now=now):
                number += 1
                self.log_change(request, stop, "Let through again.")
        if not number:
            messages.info(request, "Nothing to do: charges are not refused to any of them now.")
            return
        what = "One subject is" if number == 1 else f"{number:,} subjects are"
        text = f"{what} let through again. Declines until now do not count any more."
        messages.success(request, text)

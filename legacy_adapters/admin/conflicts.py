"""Conflicts: the list, one conflict's page, and the decisions of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseNotAllowed
from django.urls import path
from django.utils.html import format_html

from legacy_adapters.admin import deciding, several
from legacy_adapters.admin.base import SourceFilter, moment
from legacy_adapters.admin.detail import DetailAdmin
from legacy_adapters.admin.filters import DecisionFilter, StateFilter
from legacy_adapters.models import SessionConflict
from sessions_unified.admin import formatting

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

State = SessionConflict.State
_LOOKS: Final = {State.OPEN: "expired", State.KEPT: "other", State.TAKEN: "completed"}
_WORDS: Final = {State.OPEN: "open", State.KEPT: "ours kept", State.TAKEN: "theirs taken"}
_NAMED_AT_MOST: Final = 4


@admin.register(SessionConflict)
class SessionConflictAdmin(DetailAdmin[SessionConflict]):
    """Look into a conflict, decide on it."""

    list_display = ("seen", "state_shown", "session", "differing", "store")
    list_display_links = ("seen",)
    list_filter = (StateFilter, DecisionFilter, SourceFilter)
    ordering = ("-seen_at",)
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    actions = ("keep_ours",)

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[SessionConflict]:
        """Return the rows without their evidence, which one conflict's page alone shows."""
        return super().get_queryset(request).defer("evidence")

    @admin.display(description="seen")
    def seen(self, conflict: SessionConflict) -> SafeString | str:
        """When it was met last."""
        return moment(conflict.seen_at)

    @admin.display(description="state")
    def state_shown(self, conflict: SessionConflict) -> SafeString:
        """Where it stands, and whether a person must decide."""
        return state_badge(conflict)

    @admin.display(description="fields")
    def differing(self, conflict: SessionConflict) -> str:
        """Which fields differ."""
        names = [formatting.words(name) for name in conflict.fields]
        more = len(names) - _NAMED_AT_MOST
        text = ", ".join(names[:_NAMED_AT_MOST]) or formatting.NOTHING
        return f"{text} and {more} more" if more > 0 else text

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may decide."""
        return request.user.has_perm(deciding.PERMISSION)

    @admin.action(description="Keep ours", permissions=["resolve"])
    def keep_ours(
        self, request: HttpRequest, queryset: QuerySet[SessionConflict]
    ) -> HttpResponse | None:
        """Let the sessions stand as they are, after asking for a reason."""
        return several.keep_several(self, request, queryset)

    # One conflict's page

    def get_urls(self) -> list[URLPattern]:
        """Add the address of a decision, before Django's own."""
        resolve = path(
            "<int:pk>/resolve/",
            self.admin_site.admin_view(self.resolve_view),
            name="legacy_adapters_sessionconflict_resolve",
        )
        return [resolve, *super().get_urls()]

    def show(self, request: HttpRequest, row: SessionConflict, **more: Any) -> HttpResponse:
        """Show a conflict."""
        return deciding.show(self, request, row)

    def resolve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take a decision.

        Raises:
            Http404: there is no such conflict.
            PermissionDenied: this user may not see it, or not decide.

        """
        conflict = self.row_of(request, str(pk))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_resolve_permission(request):
            raise PermissionDenied
        return deciding.resolve(self, request, conflict)


def state_badge(conflict: SessionConflict) -> SafeString:
    """Return a conflict's state as a badge; what waits for a person is marked."""
    state = State(conflict.state)
    badge = formatting.coloured(_LOOKS[state], _WORDS[state])
    if state != State.OPEN or not conflict.blocks:
        return badge
    title = "No rule decides it: the record is not taken over until a person has decided."
    mark = '{} <span class="su-mark su-held" title="{}">decision needed</span>'
    return format_html(mark, badge, title)

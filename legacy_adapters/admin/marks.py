"""Sessions whose sides differ until repair has copied one across: what waits, what gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter

from legacy_adapters.admin.base import LegacyAdmin, moment
from legacy_adapters.admin.repairing import repair_each, try_again
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.models import WriteMark
from sessions_unified.admin import formatting
from sessions_unified.admin.filters import ValueFilter

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

PERMISSION: Final = "legacy_adapters.repair_sessions"
MAX_AT_ONCE: Final = 100
_TOO_MANY: Final = f"Choose at most {MAX_AT_ONCE} sessions at once. Nothing was done."


class WaitingFilter(SimpleListFilter):
    """By whether a worker will come to it."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("waiting", "waiting"), ("dead", "given up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen sessions."""
        return queryset.filter(is_dead=self.value() == "dead") if self.value() else queryset


class NewerSideFilter(ValueFilter):
    """By the side that holds the newer state."""

    title = "newer side"
    parameter_name = "side"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return both sides."""
        return [(side, side) for side in Side.values]


@admin.register(WriteMark)
class WriteMarkAdmin(LegacyAdmin[WriteMark]):
    """A list without pages of single marks, and two ways to have a session repaired."""

    list_display = ("marked", "state_shown", "session", "newer", "tried", "next_try", "why")
    list_display_links = None
    list_filter = (WaitingFilter, NewerSideFilter)
    ordering = ("-is_dead", "marked_at")
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    actions = ("repair_now", "again")

    @admin.display(description="marked")
    def marked(self, mark: WriteMark) -> SafeString | str:
        """When the sides began to differ."""
        return moment(mark.marked_at)

    @admin.display(description="state")
    def state_shown(self, mark: WriteMark) -> SafeString:
        """Whether a worker will come to it, or a person must."""
        return formatting.coloured(
            *(("failed", "given up") if mark.is_dead else ("other", "waiting"))
        )

    @admin.display(description="newer side")
    def newer(self, mark: WriteMark) -> str:
        """The side whose state is copied."""
        return mark.side

    @admin.display(description="tries")
    def tried(self, mark: WriteMark) -> str:
        """How many repairs have failed."""
        return f"{mark.attempts:,}"

    @admin.display(description="next try")
    def next_try(self, mark: WriteMark) -> SafeString | str:
        """When a worker looks at it."""
        return formatting.NOTHING if mark.is_dead else moment(mark.due_at)

    @admin.display(description="problem")
    def why(self, mark: WriteMark) -> str:
        """Why the last repair failed."""
        return mark.problem or formatting.NOTHING

    def has_repair_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may have sessions repaired."""
        return request.user.has_perm(PERMISSION)

    @admin.action(description="Repair now", permissions=["repair"])
    def repair_now(self, request: HttpRequest, queryset: QuerySet[WriteMark]) -> None:
        """Copy the newer side of each across, while the person waits."""
        chosen = list(queryset[: MAX_AT_ONCE + 1])
        if len(chosen) > MAX_AT_ONCE:
            messages.error(request, _TOO_MANY)
            return
        done, problems = repair_each(mark.session_id for mark in chosen)
        for mark in chosen:
            if mark.session_id in done:
                self.log_change(request, mark, "Repaired.")
        if done:
            messages.success(request, f"Repaired: {_counted(len(done))}. Both sides agree.")
        for session_id, problem in problems.items():
            messages.warning(request, f"Not repaired: {session_id}. {problem}")

    @admin.action(description="Try again", permissions=["repair"])
    def again(self, request: HttpRequest, queryset: QuerySet[WriteMark]) -> None:
        """Put those that were given up back, for the workers."""
        chosen = list(queryset.filter(is_dead=True)[: MAX_AT_ONCE + 1])
        if len(chosen) > MAX_AT_ONCE:
            messages.error(request, _TOO_MANY)
            return
        if not chosen:
            messages.info(request, "Nothing to do: all of these are waiting already.")
            return
        try_again([mark.session_id for mark in chosen])
        for mark in chosen:
            self.log_change(request, mark, "To be tried again.")
        messages.success(request, f"A worker tries again: {_counted(len(chosen))}.")


def _counted(number: int) -> str:
    return f"{number} session{'' if number == 1 else 's'}"

"""The history of the stages: who moved which endpoint, when and why; what moved by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.utils.html import format_html

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.control.wording import place_text
from legacy_adapters.admin.detail import DetailAdmin
from legacy_adapters.admin.differences import EndpointFilter
from legacy_adapters.models import StageChange

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

_BY_ITSELF: Final = "by itself"


class AutomaticFilter(SimpleListFilter):
    """By whether a person did it."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("person", "a person"), ("itself", _BY_ITSELF)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen moves."""
        return queryset.filter(is_automatic=self.value() == "itself") if self.value() else queryset


@admin.register(StageChange)
class StageChangeAdmin(DetailAdmin[StageChange]):
    """Every move, and the gates as they were then."""

    list_display = ("moved", "endpoint_shown", "move", "by", "reason")
    list_display_links = ("moved",)
    list_filter = (EndpointFilter, AutomaticFilter)
    ordering = ("-pk",)
    page_template = "admin/legacy_adapters/stage_change.html"

    @admin.display(description="when")
    def moved(self, change: StageChange) -> SafeString | str:
        """When it was moved."""
        return moment(change.at)

    @admin.display(description="endpoint")
    def endpoint_shown(self, change: StageChange) -> str:
        """The endpoint by its name."""
        return change.endpoint

    @admin.display(description="move")
    def move(self, change: StageChange) -> str:
        """From where to where."""
        return move_text(change)

    @admin.display(description="by")
    def by(self, change: StageChange) -> SafeString | str:
        """Who moved it; what moved by itself is marked."""
        return by_whom(change)

    def page(self, request: HttpRequest, row: StageChange) -> dict[str, Any]:
        """Return what is shown of one move."""
        return {
            "title": f"{row.endpoint}: {move_text(row)}",
            "change": row,
            "moved": moment(row.at),
            "by": by_whom(row),
            "gates": [
                {
                    "name": str(gate.get("name", "")),
                    "is_open": bool(gate.get("open", gate.get("is_open"))),
                    "reason": str(gate.get("reason", "")),
                }
                for gate in row.gates
            ],
        }


def move_text(change: StageChange) -> str:
    """Return from where to where: ``shadow → live 10 %``; a pause moves nothing."""
    before = place_text(change.from_stage, change.from_percent)
    after = place_text(change.to_stage, change.to_percent)
    return f"stays at {after}" if before == after else f"{before} → {after}"


def by_whom(change: StageChange) -> SafeString | str:
    """Return who moved it; what moved by itself is marked."""
    if not change.is_automatic:
        return change.actor
    return format_html('{} <span class="su-mark su-held">{}</span>', change.actor, _BY_ITSELF)

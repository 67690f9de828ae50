"""The filters of conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import SimpleListFilter

from legacy_adapters.models import SessionConflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest

State = SessionConflict.State


class StateFilter(SimpleListFilter):
    """By where it stands. Open ones are shown unless others are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices beside the open ones."""
        return [(State.KEPT, "ours kept"), (State.TAKEN, "theirs taken"), ("all", "all")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the choices, “open” in the place of “all”."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "open"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen conflicts; of one session that is searched for, all."""
        choice = self.value()
        if choice == "all" or (choice is None and request.GET.get("q", "").strip()):
            return queryset
        return queryset.filter(state=choice or State.OPEN)


class DecisionFilter(SimpleListFilter):
    """By whether anything waits for the decision."""

    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("needed", "needed"), ("ruled", "a rule decided")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen conflicts."""
        return queryset.filter(blocks=self.value() == "needed") if self.value() else queryset

"""Confirmed differences between the sides, with their redacted evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from legacy_adapters.admin.detail import DetailAdmin
from legacy_adapters.admin.wording import noted_text, rule_text
from legacy_adapters.migration.stages.names import Endpoint
from legacy_adapters.models import ParityFinding
from sessions_unified.admin import formatting
from sessions_unified.admin.filters import ValueFilter

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

_NAMED_AT_MOST = 4


class EndpointFilter(ValueFilter):
    """By the endpoint."""

    title = "endpoint"
    parameter_name = "endpoint"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the endpoints by their names."""
        return [(name, name) for name in Endpoint.values]


@admin.register(ParityFinding)
class ParityFindingAdmin(DetailAdmin[ParityFinding]):
    """What comparing has found to differ at both looks."""

    list_display = ("last_seen", "endpoint_shown", "session", "differing", "times", "first_seen")
    list_display_links = ("last_seen",)
    list_filter = (EndpointFilter,)
    ordering = ("-last_seen_at",)
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    page_template = "admin/legacy_adapters/difference.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ParityFinding]:
        """Return the rows without their evidence, which one difference's page alone shows."""
        return super().get_queryset(request).defer("evidence")

    @admin.display(description="endpoint")
    def endpoint_shown(self, finding: ParityFinding) -> str:
        """The endpoint, and its stage then."""
        return f"{finding.endpoint} at {formatting.words(finding.stage)}"

    @admin.display(description="fields")
    def differing(self, finding: ParityFinding) -> str:
        """Which fields differ."""
        names = [formatting.words(name) for name in finding.fields]
        more = len(names) - _NAMED_AT_MOST
        text = ", ".join(names[:_NAMED_AT_MOST]) or formatting.NOTHING
        return f"{text} and {more} more" if more > 0 else text

    def page(self, request: HttpRequest, row: ParityFinding) -> dict[str, Any]:
        """Return what is shown of one difference: what was noted of it, redacted before it was."""
        return {
            "title": "Difference",
            "finding": row,
            "stage": formatting.words(row.stage),
            "identifier": formatting.identifier(row.session_id),
            "session_url": formatting.session_url(row.session_id),
            "first_seen": self.first_seen(row),
            "last_seen": self.last_seen(row),
            "lines": [
                {
                    "field": note["field"],
                    "ours": noted_text(note.get("unified")),
                    "theirs": noted_text(note.get("legacy")),
                    "rule": rule_text(note["field"]),
                }
                for note in row.evidence
                if "field" in note
            ],
        }

"""What the lists here share: search by a whole session id, the source, sessions linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.forms import Media

from legacy_adapters.conf import get_sources
from sessions_unified.admin import formatting
from sessions_unified.admin.base import AnyModel, ExactSearchAdmin
from sessions_unified.admin.filters import ValueFilter
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class SourceFilter(ValueFilter):
    """By one of the legacy stores of the settings."""

    title = "store"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the stores' names."""
        return [(name, name) for name in get_sources()]


class LegacyAdmin(ExactSearchAdmin[AnyModel]):
    """Rows about records of legacy stores."""

    sortable_by = ()

    @property
    def media(self) -> Media:
        """The core's stylesheet, and what the pages here add to it."""
        return super().media + Media(css={"all": ["legacy_adapters/admin.css"]})

    @admin.display(description="session")
    def session(self, row: Any) -> SafeString | str:
        """The session, linked."""
        return formatting.session_link(row.session_id) if row.session_id else formatting.NOTHING

    @admin.display(description="store")
    def store(self, row: Any) -> str:
        """The legacy store."""
        return str(row.source)

    @admin.display(description="first seen")
    def first_seen(self, row: Any) -> SafeString | str:
        """When it was seen first."""
        return moment(row.first_seen_at)

    @admin.display(description="last seen")
    def last_seen(self, row: Any) -> SafeString | str:
        """When it was seen last."""
        return moment(row.last_seen_at)


def moment(at: datetime | None) -> SafeString | str:
    """Return a moment as every list shows it."""
    return formatting.when(at, get_clock().now())

"""The event log: newest first, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib import admin

from sessions_unified.admin import formatting
from sessions_unified.admin.base import ExactSearchAdmin
from sessions_unified.admin.filters import KindFilter
from sessions_unified.admin.timeline import moves
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


@admin.register(SessionEvent)
class SessionEventAdmin(ExactSearchAdmin[SessionEvent]):
    """Everything that happened to every session.

    Attributes:
        kinds: what the filter offers; a site adds its own.

    """

    kinds: ClassVar[tuple[str, ...]] = (
        "session_created",
        "session_updated",
        "session_extended",
        "session_completed",
        "session_expired",
        "session_deleted",
        "session_purged",
        "session_imported",
        "session_reimported",
        "session_merged",
    )
    list_display = ("position", "when", "session", "what", "moved", "fields_changed", "actor")
    list_display_links = None
    list_filter = (KindFilter,)
    ordering = ("-position",)
    sortable_by = ()
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)

    @admin.display(description="when")
    def when(self, event: SessionEvent) -> SafeString | str:
        """When."""
        return formatting.when(event.at, get_clock().now())

    @admin.display(description="session")
    def session(self, event: SessionEvent) -> SafeString:
        """The session, linked."""
        return formatting.session_link(event.session_id)

    @admin.display(description="what happened")
    def what(self, event: SessionEvent) -> str:
        """The kind, in words."""
        return formatting.words(event.kind)

    @admin.display(description="moved")
    def moved(self, event: SessionEvent) -> str:
        """From where to where."""
        return ", ".join(f"{old} → {new}" for old, new in moves(event.data).values())

    @admin.display(description="fields")
    def fields_changed(self, event: SessionEvent) -> str:
        """Names of the fields that changed."""
        return ", ".join(formatting.words(name) for name in event.changed)

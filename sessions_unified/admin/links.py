"""One-time links: who made which, and whether it was used. Their secrets are not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from sessions_unified.admin import formatting
from sessions_unified.admin.base import ExactSearchAdmin
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionLink

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


@admin.register(SessionLink)
class SessionLinkAdmin(ExactSearchAdmin[SessionLink]):
    """A list without pages of single links: there is nothing more to show."""

    list_display = ("session", "created_by", "created", "state")
    list_display_links = None
    ordering = ("-created_at",)
    sortable_by = ()
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)
    fields = ("session_id", "created_by", "created_at", "expires_at", "redeemed_at")

    @admin.display(description="session")
    def session(self, link: SessionLink) -> SafeString:
        """The session, linked."""
        return formatting.session_link(link.session_id)

    @admin.display(description="created")
    def created(self, link: SessionLink) -> SafeString | str:
        """When."""
        return formatting.when(link.created_at, get_clock().now())

    @admin.display(description="state")
    def state(self, link: SessionLink) -> SafeString | str:
        """Used, too old, or still good."""
        now = get_clock().now()
        if link.redeemed_at is not None:
            return formatting.labelled("used", link.redeemed_at, now)
        label = "too old since" if link.expires_at <= now else "good, ends"
        return formatting.labelled(label, link.expires_at, now)

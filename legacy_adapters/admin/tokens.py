"""Tokens of the old shop that were refused, because the secret that signed them is out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.html import format_html

from legacy_adapters.admin.base import LegacyAdmin, SourceFilter
from legacy_adapters.models import RefusedToken

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


@admin.register(RefusedToken)
class RefusedTokenAdmin(LegacyAdmin[RefusedToken]):
    """A list without pages of single tokens: there is nothing more to show."""

    list_display = ("last_seen", "claimed", "times", "secret_shown", "store", "first_seen")
    list_display_links = None
    list_filter = (SourceFilter,)
    ordering = ("-last_seen_at",)
    search_fields = ("session_id",)
    search_help_text = "A whole session id, or the fingerprint of a secret."
    exact_search = ("session_id", "secret")

    @admin.display(description="claims to be")
    def claimed(self, token: RefusedToken) -> SafeString | str:
        """The session whose name was used; nothing proves that it was its shopper."""
        return self.session(token)

    @admin.display(description="secret")
    def secret_shown(self, token: RefusedToken) -> SafeString:
        """The secret's fingerprint."""
        return format_html('<span class="su-code">{}</span>', token.secret)

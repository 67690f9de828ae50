"""What browsers sent that could not be read, kept for inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models.functions import Length
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html

from legacy_adapters.admin.base import LegacyAdmin, SourceFilter
from legacy_adapters.models import KeptBlob
from sessions_unified.admin import formatting
from sessions_unified.admin.base import ReadOnlyAdmin, sees_pii
from sessions_unified.exceptions import SealedValueError

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

# What sealing adds (a name, a nonce, a tag), and base64 by a third.
_ENVELOPE_BYTES = 45
_SHOWN_AT_MOST = 100_000


@admin.register(KeptBlob)
class KeptBlobAdmin(LegacyAdmin[KeptBlob]):
    """Blobs to look at and, once understood, to delete. Their text is personal data."""

    list_display = ("last_seen", "why", "store", "size", "times", "first_seen")
    list_display_links = ("last_seen",)
    list_filter = (SourceFilter,)
    ordering = ("-last_seen_at",)
    search_fields = ("digest",)
    search_help_text = "A whole SHA-256 digest."
    exact_search = ("digest",)
    fields = readonly_fields = (
        *("why", "store", "size", "times", "first_seen", "last_seen", "digest", "content"),
    )
    change_form_template = "admin/legacy_adapters/looked_at.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[KeptBlob]:
        """Return the rows without their text, which only a blob's own page opens."""
        return super().get_queryset(request).defer("text").annotate(sealed=Length("text"))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> KeptBlob | None:
        """Return a blob; its text is hidden from those who may not see personal data."""
        blob = super().get_object(request, object_id, from_field)
        if blob is not None:
            blob.shows_text = sees_pii(request.user)  # type: ignore[attr-defined]
        return blob

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those delete who have the permission."""
        return super(ReadOnlyAdmin, self).has_delete_permission(request, obj)

    @admin.display(description="reason")
    def why(self, blob: KeptBlob) -> str:
        """Why it could not be read."""
        return blob.reason

    @admin.display(description="size")
    def size(self, blob: Any) -> str:
        """How much text it is, about: nothing is opened for it."""
        size: str = filesizeformat(max(0, blob.sealed - _ENVELOPE_BYTES) * 3 // 4)
        return size

    @admin.display(description="text")
    def content(self, blob: Any) -> SafeString | str:
        """The text as it came, to those who may see personal data."""
        if not blob.shows_text:
            return "Personal data is masked: your account lacks the permission to see it."
        try:
            text = blob.text
        except SealedValueError as exc:
            return str(exc)
        more = len(text) - _SHOWN_AT_MOST
        rest = f"\n… and {more:,} characters more" if more > 0 else ""
        return (
            format_html('<pre class="la-text" tabindex="0">{}{}</pre>', text[:_SHOWN_AT_MOST], rest)
            if text
            else formatting.NOTHING
        )

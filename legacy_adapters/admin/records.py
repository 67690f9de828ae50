"""Import records: what was imported as what, to look one up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.html import format_html

from legacy_adapters.admin.base import LegacyAdmin, SourceFilter, moment
from legacy_adapters.migration.importing.records import MIXED
from legacy_adapters.models import ImportRecord
from sessions_unified.admin import formatting

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

_SHOWN = 12


@admin.register(ImportRecord)
class ImportRecordAdmin(LegacyAdmin[ImportRecord]):
    """A list without pages of single records: there is nothing more to show."""

    list_display = ("imported", "session", "store", "version", "fingerprint")
    list_display_links = None
    list_filter = (SourceFilter,)
    ordering = ("-pk",)
    search_fields = ("session_id",)
    search_help_text = "A whole session id."
    exact_search = ("session_id",)

    @admin.display(description="imported")
    def imported(self, record: ImportRecord) -> SafeString | str:
        """When."""
        return moment(record.imported_at)

    @admin.display(description="as version")
    def version(self, record: ImportRecord) -> SafeString | str:
        """The version that the import wrote; none where the session says more than the record."""
        if record.unified_version > MIXED:
            return str(record.unified_version)
        title = "The session says more than this record, which never replaces it."
        return format_html('<span title="{}">{}</span>', title, formatting.NOTHING)

    @admin.display(description="record")
    def fingerprint(self, record: ImportRecord) -> SafeString:
        """The beginning of the digest of what the record said."""
        return format_html(
            '<span class="su-code" title="{}">{}…</span>', record.digest, record.digest[:_SHOWN]
        )

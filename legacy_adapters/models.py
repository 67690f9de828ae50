"""What the migration remembers of each legacy record: imported as what, or in conflict."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH


class ImportRecord(models.Model):
    """One legacy record that became a session.

    While the session is still at ``unified_version`` nobody has changed it here, so a newer state
    of the record (another ``digest``) may replace it.
    """

    source = models.CharField(max_length=64)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    digest = models.CharField(max_length=64)
    unified_version = models.BigIntegerField()
    imported_at = models.DateTimeField()

    class Meta:
        verbose_name = "imported record"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source", "session_id"], name="legacy_import_once_a_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} from {self.source}"


class SessionConflict(models.Model):
    """A legacy record and its session that both changed. The session stands; a person decides.

    ``fields`` names those that differ; no values, so no personal data.
    """

    source = models.CharField(max_length=64)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    digest = models.CharField(max_length=64)
    fields = models.JSONField(default=list)
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "conflict"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source", "session_id"], name="legacy_conflict_once_a_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} from {self.source}: {', '.join(self.fields)}"

"""What was imported as what, and what contradicts it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH


class ImportRecord(models.Model):
    """One legacy record that became a session, or went into one.

    While the session is still at ``unified_version`` nobody has changed it here, so a newer state
    of the record (another ``digest``) may replace it. No session is ever at 0 or -1
    (``MIXED`` and ``DECIDED`` in `migration.importing.records`): it says more than the record, or a
    person has decided between them.
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
                fields=["session_id", "source"], name="legacy_import_once_a_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} from {self.source}"


class SessionConflict(models.Model):
    """A legacy record and its session that contradict each other. The session stands meanwhile.

    ``fields`` names those that differ. ``evidence`` is a list of ``{field, rule, blocks, unified,
    legacy}`` with the values redacted: no personal data. One that does not block is for the record:
    its rule decided.
    """

    class State(models.TextChoices):
        """Where it stands."""

        OPEN = "open", "open"
        KEPT = "kept", "the session's values kept"
        TAKEN = "taken", "legacy values taken"

    source = models.CharField(max_length=64)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    digest = models.CharField(max_length=64)
    fields = models.JSONField(default=list)
    evidence = models.JSONField(default=list)
    blocks = models.BooleanField(default=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        verbose_name = "conflict"
        permissions: ClassVar = [
            ("resolve_conflicts", "Can resolve conflicts of imported sessions")
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source", "session_id"], name="legacy_conflict_once_a_source"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                "seen_at",
                name="legacy_conflict_open",
                condition=models.Q(state="open"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} from {self.source}: {', '.join(self.fields)}"

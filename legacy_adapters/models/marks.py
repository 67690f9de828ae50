"""Sessions that were written on one side and not, for all that is known, on the other."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from legacy_adapters.migration.stages.names import Side
from sessions_unified.ids import MAX_ID_LENGTH


class WriteMark(models.Model):
    """A session whose ``side`` holds the newer state, until repair has copied it to the other.

    ``generation`` grows with each write, so that a repair never clears the mark of a write that
    came after it. ``bucket`` is the session's place in the percentages. A worker repairs it from
    ``due_at`` on; after too many ``attempts`` it ``is_dead``, and waits for a person.
    """

    session_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    side = models.CharField(max_length=8, choices=Side.choices)
    generation = models.BigIntegerField(default=1)
    bucket = models.PositiveSmallIntegerField()
    marked_at = models.DateTimeField()
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=500, blank=True, default="")
    is_dead = models.BooleanField(default=False)

    class Meta:
        verbose_name = "session to repair"
        verbose_name_plural = "sessions to repair"
        permissions: ClassVar = [("repair_sessions", "Can repair sessions again")]
        indexes: ClassVar = [
            models.Index("due_at", name="legacy_mark_due", condition=models.Q(is_dead=False)),
            models.Index("side", "bucket", name="legacy_mark_side"),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}, written in {self.side}"

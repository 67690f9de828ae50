"""Who was stopped, by session, network address or card."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class CardTestingStop(models.Model):
    """Charges refused to one subject: counted once a refusal.

    ``subject`` is the session's id, or a keyed hash of the address or the card. ``cleared_at``: a
    member of staff let it through again; declines before that do not count.
    """

    class Scope(models.TextChoices):
        """What the declines have in common."""

        SESSION = "session"
        ADDRESS = "address"
        CARD = "card"

    scope = models.CharField(max_length=8, choices=Scope.choices)
    subject = models.CharField(max_length=64)
    declines = models.PositiveIntegerField(help_text="in the window, at the last refusal")
    refusals = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)
    until = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    cleared_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = "card testing stop"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["scope", "subject"], name="funnel_stop_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.subject[:12]}"

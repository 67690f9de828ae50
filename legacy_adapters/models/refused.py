"""What was refused of browsers, and kept for people to look at."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH
from sessions_unified.sealing import SealedTextField


class KeptBlob(models.Model):
    """What a browser sent that could not be read: kept for inspection, sealed, once each."""

    source = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)
    text = SealedTextField()
    reason = models.CharField(max_length=200)
    times = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "unreadable blob"

    def __str__(self) -> str:
        return f"{self.digest[:12]}: {self.reason}"


class RefusedToken(models.Model):
    """Tokens of the old shop signed with a secret that is known to be out: who they claim to be."""

    source = models.CharField(max_length=64)
    secret = models.CharField(max_length=16, help_text="fingerprint of the compromised secret")
    session_id = models.CharField(max_length=MAX_ID_LENGTH, blank=True, default="")
    times = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "token signed with a compromised secret"
        verbose_name_plural = "tokens signed with a compromised secret"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source", "secret", "session_id"], name="legacy_refused_token_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id or '(no id)'}, secret {self.secret}"

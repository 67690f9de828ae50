"""What the migration remembers: what was imported as what, conflicts, runs, refused things."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH
from sessions_unified.sealing import SealedTextField


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


class BackfillRun(models.Model):
    """One backfill of a store, which any worker goes on with from where the last one ended."""

    class State(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        PAUSED = "paused", "paused"
        FINISHED = "finished", "finished"
        FAILED = "failed", "failed"

    source = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    since = models.DateTimeField(null=True, blank=True)
    batch_size = models.PositiveIntegerField()
    total = models.PositiveBigIntegerField(help_text="records to read, about")
    rows_per_second = models.PositiveIntegerField(null=True, blank=True)
    is_background = models.BooleanField(default=False)
    actor = models.CharField(max_length=150, blank=True, default="")
    problem = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "backfill"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source"],
                name="legacy_one_open_backfill_a_source",
                condition=models.Q(state__in=["queued", "running", "paused"]),
            ),
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} of {self.source}"


class BackfillSlice(models.Model):
    """A range of a store's keys, read by one worker at a time; its cursor is saved with each batch.

    ``lower`` is exclusive, ``upper`` inclusive; None: from the first, to the last key. Keys and
    cursor are kept as JSON: a key may hold what no column does. ``claimed_by`` names the worker;
    one that has saved nothing since ``updated_at`` for long is taken for dead.
    """

    run = models.ForeignKey(BackfillRun, on_delete=models.CASCADE, related_name="slices")
    lower = models.TextField(null=True, blank=True)
    upper = models.TextField(null=True, blank=True)
    cursor = models.TextField(null=True, blank=True)
    is_finished = models.BooleanField(default=False)
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    imported = models.PositiveBigIntegerField(default=0)
    unchanged = models.PositiveBigIntegerField(default=0)
    merged = models.PositiveBigIntegerField(default=0)
    conflicting = models.PositiveBigIntegerField(default=0)
    unreadable = models.PositiveBigIntegerField(default=0)
    masked = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "slice of a backfill"
        verbose_name_plural = "slices of a backfill"

    def __str__(self) -> str:
        return f"{self.lower or '…'} to {self.upper or '…'} of {self.run}"


class BackfillFinding(models.Model):
    """A record of a backfill that a person may want to know of; no personal data."""

    class Kind(models.TextChoices):
        """What is to be known."""

        CONFLICTING = "conflicting", "conflicting"
        UNREADABLE = "unreadable", "unreadable"
        MASKED = "masked", "card data masked"

    run = models.ForeignKey(BackfillRun, on_delete=models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    record_id = models.TextField(null=True, blank=True)
    detail = models.TextField()

    class Meta:
        verbose_name = "finding of a backfill"
        verbose_name_plural = "findings of a backfill"

    def __str__(self) -> str:
        return f"{self.record_id or '(no id)'}: {self.detail}"


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

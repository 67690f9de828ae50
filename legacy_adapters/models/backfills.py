"""Backfills: their runs, slices and findings."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


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

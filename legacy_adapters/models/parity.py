"""What comparing both sides has come to, a minute at a time, and what differed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from legacy_adapters.migration.stages.names import Endpoint, Stage
from sessions_unified.ids import MAX_ID_LENGTH


class ParityMinute(models.Model):
    """One endpoint's comparisons of one minute, of all processes that knew the same stage changes.

    ``epoch`` is the last of these: what was counted before a change is told from what came after.

    ``compared`` = ``agreed`` + ``transient`` + ``confirmed``: a transient difference was gone at
    the second look. ``shed``: not compared, because all threads were busy. ``failed``: a side did
    not answer the comparison. ``errors``: of ``reads`` that the endpoint answered, those that
    failed on the unified side. ``served_ms`` counts these reads, failed ones too, by how long they
    took: the upper bound in milliseconds as text → how many. ``legacy_ms`` and ``unified_ms`` count
    the comparisons' reads so. ``fields``: name → how often it was confirmed to differ.
    """

    endpoint = models.CharField(max_length=32, choices=Endpoint.choices)
    stage = models.CharField(max_length=16, choices=Stage.choices)
    epoch = models.BigIntegerField(default=0)
    minute = models.DateTimeField()
    compared = models.PositiveBigIntegerField(default=0)
    agreed = models.PositiveBigIntegerField(default=0)
    transient = models.PositiveBigIntegerField(default=0)
    confirmed = models.PositiveBigIntegerField(default=0)
    shed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    reads = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    served_ms = models.JSONField(default=dict)
    legacy_ms = models.JSONField(default=dict)
    unified_ms = models.JSONField(default=dict)
    fields = models.JSONField(default=dict)

    class Meta:
        verbose_name = "minute of comparisons"
        verbose_name_plural = "minutes of comparisons"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["endpoint", "stage", "epoch", "minute"], name="legacy_parity_once_a_minute"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} at {self.stage}, {self.minute:%Y-%m-%d %H:%M}"


class ParityFinding(models.Model):
    """A confirmed difference: the fields, and redacted evidence as a conflict has it."""

    endpoint = models.CharField(max_length=32, choices=Endpoint.choices)
    stage = models.CharField(max_length=16, choices=Stage.choices)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    fields = models.JSONField(default=list)
    evidence = models.JSONField(default=list)
    times = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "difference between the sides"
        verbose_name_plural = "differences between the sides"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session_id", "endpoint"], name="legacy_finding_once_an_endpoint"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}: {', '.join(self.fields)}"


class StoreSighting(models.Model):
    """A session that was met in a store which the server cannot list: what is left is unseen."""

    source = models.CharField(max_length=64)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "session seen in a browser"
        verbose_name_plural = "sessions seen in browsers"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session_id", "source"], name="legacy_sighting_once_a_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} in {self.source}"

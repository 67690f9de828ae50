"""Where each endpoint is on its way, who moved it, and which processes have seen it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from legacy_adapters.migration.stages.names import Endpoint, Stage


class EndpointStage(models.Model):
    """The stage of one endpoint, for a part of the sessions; the others are at the stage before.

    No row: the endpoint is at `off`, for all of them. ``entered_at`` is when it came to the stage,
    ``changed_at`` when stage or percentage changed last. ``demoted_at``: it went back by itself
    then, and only a person advances it. ``paused_at``: a person holds it where it is, for
    ``pause_reason``. ``unmarked_since``: since then sessions may have been written that legacy does
    not have, without a mark: it is at `complete`, or came back from there and this is not made up
    for yet.
    """

    endpoint = models.CharField(max_length=32, primary_key=True, choices=Endpoint.choices)
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.OFF)
    percent = models.DecimalField(max_digits=5, decimal_places=2, default=100)
    entered_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    demoted_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True, default="")
    unmarked_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "endpoint's stage"
        permissions: ClassVar = [("move_stages", "Can advance and roll back endpoints")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(percent__gt=0, percent__lte=100), name="legacy_stage_percent"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.stage} for {self.percent.normalize():f} %"


class StageChange(models.Model):
    """One move of one endpoint: the history. Its number is the epoch that processes report.

    ``actor`` is a person, or what demoted it. ``gates`` are the gates as they were then.
    """

    endpoint = models.CharField(max_length=32, choices=Endpoint.choices)
    from_stage = models.CharField(max_length=16, choices=Stage.choices)
    from_percent = models.DecimalField(max_digits=5, decimal_places=2)
    to_stage = models.CharField(max_length=16, choices=Stage.choices)
    to_percent = models.DecimalField(max_digits=5, decimal_places=2)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    is_automatic = models.BooleanField(default=False)
    gates = models.JSONField(default=list)

    class Meta:
        verbose_name = "stage change"
        indexes: ClassVar = [models.Index("endpoint", "id", name="legacy_change_of_endpoint")]

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.from_stage} to {self.to_stage}"


class ProcessReport(models.Model):
    """One process that serves sessions, and the last stage change that it has seen."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=64)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    epoch = models.BigIntegerField()
    started_at = models.DateTimeField()
    reported_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "process"
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.name}, {self.host}:{self.pid}"

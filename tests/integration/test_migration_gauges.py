"""The migration's gauges, as a scrape finds them in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from legacy_adapters.migration.measuring import measure
from legacy_adapters.migration.parity import tallies
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import EndpointStage, ProcessReport, WriteMark
from sessions_unified.monitoring import exposition
from sessions_unified.tiers import get_tiers
from tests.migrating import to_stage

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db

Shown = dict[tuple[str, tuple[str, ...]], float]


def shown() -> Shown:
    found = exposition._ask_database()
    assert found is not None
    return {
        (each.name.removeprefix("legacy_adapters_"), labels): value for each, labels, value in found
    }


def mark(session_id: str, at: datetime, *, is_dead: bool = False) -> None:
    times = {"marked_at": at, "due_at": at}
    WriteMark.objects.create(
        session_id=session_id, side="legacy", bucket=0, is_dead=is_dead, **times
    )


def test_of_a_shop_that_is_not_moved_all_is_at_rest() -> None:
    found = shown()

    assert measure in exposition.ASKS
    assert found["marks", ("waiting",)] == found["marks", ("dead",)] == 0
    assert found["oldest_mark_seconds", ()] == found["processes_behind", ()] == 0
    for endpoint in Endpoint.values:
        assert found["stage", (endpoint,)] == found["demoted", (endpoint,)] == 0
        assert found["stage_percent", (endpoint,)] == 100


def test_differences_are_counted_from_0_on() -> None:
    assert tallies.MAPS
    name = "legacy_adapters_comparisons_total"

    for endpoint in Endpoint.values:
        labels = {"endpoint": endpoint, "result": "confirmed"}
        assert REGISTRY.get_sample_value(name, labels) is not None


def test_what_waits_and_where_endpoints_are_is_shown() -> None:
    now = get_tiers().clock.now()
    to_stage(Stage.LIVE, Endpoint.DETAIL, percent=12.5)
    to_stage(Stage.COMPLETE, Endpoint.CREATE)
    EndpointStage.objects.filter(pk=Endpoint.CREATE).update(demoted_at=now)
    mark("ws_1", now - timedelta(seconds=40))
    mark("ws_2", now - timedelta(seconds=10))
    mark("ws_3", now - timedelta(hours=1), is_dead=True)
    for epoch, age in ((0, 0), (10**9, 0), (0, 600)):  # one that is gone counts no more
        seen = {"started_at": now, "reported_at": now - timedelta(seconds=age)}
        ProcessReport.objects.create(id=uuid4(), name="web", host="a", pid=1, epoch=epoch, **seen)

    found = shown()

    assert (found["marks", ("waiting",)], found["marks", ("dead",)]) == (2, 1)
    assert 40 <= found["oldest_mark_seconds", ()] < 60  # of those that a worker comes to
    assert found["processes_behind", ()] == 1
    assert found["stage", ("session.detail",)] == 3
    assert found["stage_percent", ("session.detail",)] == 12.5
    assert found["stage", ("session.create",)] == 5
    assert found["demoted", ("session.create",)] == 1
    assert found["demoted", ("session.detail",)] == 0

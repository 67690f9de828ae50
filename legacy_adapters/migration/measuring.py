"""The migration's gauges, measured when Prometheus asks: of the database, not of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Min, Q

from legacy_adapters import metrics
from legacy_adapters.migration import fleet
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import EndpointStage, WriteMark
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from sessions_unified.monitoring.exposition import Samples
    from sessions_unified.tiers import Tiers


def measure(tiers: Tiers) -> Samples:
    """Return the gauges as they are now; `sessions_unified.monitoring.exposition` asks.

    Raises:
        django.db.Error: the database did not answer in time.

    """
    behind = len(fleet.lagging(tiers))
    return [*_marks(tiers), *_stages(), (metrics.PROCESSES_BEHIND, (), behind)]


def _marks(tiers: Tiers) -> Samples:
    waits = Q(is_dead=False)
    found = rows(WriteMark).aggregate(
        waiting=Count("pk", filter=waits),
        dead=Count("pk", filter=~waits),
        oldest_at=Min("marked_at", filter=waits),
    )
    now = tiers.clock.now()
    oldest_seconds = (now - (found["oldest_at"] or now)).total_seconds()
    return [
        (metrics.MARKS, ("waiting",), found["waiting"]),
        (metrics.MARKS, ("dead",), found["dead"]),
        (metrics.OLDEST_MARK, (), max(oldest_seconds, 0.0)),
    ]


def _stages() -> Samples:
    found = {each.endpoint: each for each in rows(EndpointStage)}
    samples: Samples = []
    for endpoint in Endpoint.values:
        place = found.get(endpoint) or EndpointStage(endpoint=endpoint)
        samples.append((metrics.STAGE, (endpoint,), Stage(place.stage).rank))
        samples.append((metrics.STAGE_PERCENT, (endpoint,), float(place.percent)))
        samples.append((metrics.DEMOTED, (endpoint,), float(place.demoted_at is not None)))
    return samples

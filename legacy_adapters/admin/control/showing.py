"""What the control room shows, gathered once for the page and for each of its updates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.control import board, charts, facts
from legacy_adapters.admin.control.bins import HOURS, window_to
from legacy_adapters.admin.control.wording import part_text
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.parity.summing import minutes
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.steering import history, operating
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.http import HttpRequest

    from legacy_adapters.migration.steering.operating import EndpointStatus
    from legacy_adapters.models import ParityMinute
    from sessions_unified.tiers import Tiers

PARTS: Final = ("notices", "board", "facts", "comparing", "moves", "history", "processes")
"""The templates whose text an update replaces."""

_HOURS: Final = 1


def status_of(endpoint: Endpoint) -> EndpointStatus:
    """Return where one endpoint is."""
    return next(each for each in operating.statuses(get_tiers()) if each.endpoint == endpoint)


def room_of(request: HttpRequest, *, may_move: bool) -> dict[str, Any]:
    """Return everything that the page shows; ``endpoint`` and ``hours`` choose the charts."""
    tiers = get_tiers()
    statuses = operating.statuses(tiers)
    shown = _chosen(request.GET.get("endpoint"), statuses)
    hours = _hours(request.GET.get("hours"))
    return {
        "now": f"{tiers.clock.now():%H:%M:%S}",
        "headings": board.HEADINGS,
        "endpoints": [board.endpoint_of(each, may_move=may_move) for each in statuses],
        "unseen": facts.unseen_of(statuses[0].unseen),
        "repair": facts.repair_of(tiers),
        "questions": facts.open_questions(),
        "backfills": facts.backfills_of(),
        "processes": facts.processes_of(tiers),
        "history": facts.history_of(),
        "needs": part_text(get_conf().PARITY_THRESHOLD),
        "may_move": may_move,
        "shown": shown.endpoint.value,
        "hours": hours,
        **_charts(tiers, shown, hours),
    }


def choices_of(room: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the charts can be switched to."""
    return {
        "endpoints": [(name, name == room["shown"]) for name in Endpoint.values],
        "hours": [(hours, hours == room["hours"]) for hours in HOURS],
    }


def _charts(tiers: Tiers, status: EndpointStatus, hours: int) -> dict[str, Any]:
    now = tiers.clock.now()
    window = window_to(now, hours)
    oldest = now - timedelta(seconds=get_conf().PARITY_MAX_AGE_SECONDS)
    found = minutes(tiers, status.endpoint, min(oldest, window.begin))
    drawn = charts.charts_of(window, found, _counting(status, found, oldest))
    return {
        "series": charts.to_json(window, drawn),
        "charts": [
            {
                "name": chart.name,
                "title": chart.title,
                "empty": chart.empty if chart.is_empty else "",
                "labels": [line.label for line in chart.lines],
                "rows": [
                    (moment(start), f"{start:%H:%M}", texts)
                    for start, texts in charts.table_of(window, chart)
                ],
            }
            for chart in drawn
        ],
    }


def _counting(
    status: EndpointStatus, found: Sequence[ParityMinute], oldest: datetime
) -> list[ParityMinute]:
    """Return the minutes that the next move's gate looks at: of this stage, and not too old."""
    if status.parity is None:
        return []
    stage = Stage.LIVE if status.stage is Stage.RAMP_DOWN else status.stage
    came = history.entered(status.endpoint, stage)
    since = (oldest if came is None else max(came, oldest)).replace(second=0, microsecond=0)
    return [each for each in found if each.stage == stage and each.minute >= since]


def _chosen(name: str | None, statuses: Sequence[EndpointStatus]) -> EndpointStatus:
    """Return the endpoint that was asked for; else the first that is being compared."""
    named = [each for each in statuses if each.endpoint.value == name]
    compared = [each for each in statuses if each.parity and each.parity["compared"]]
    comparing = [each for each in statuses if each.stage.compares]
    return (named or compared or comparing or list(statuses))[0]


def _hours(text: str | None) -> int:
    return int(text) if text in {str(each) for each in HOURS} else _HOURS

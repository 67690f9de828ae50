"""What the charts draw and their tables say: the comparisons of one endpoint over a window."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Q
from django.db.models.functions import TruncMinute

from legacy_adapters.admin.control.bins import Bin, Window, binned
from legacy_adapters.admin.control.wording import count_text, duration_text, part_text
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.parity.histograms import percentile
from legacy_adapters.migration.parity.summing import lower_bound
from legacy_adapters.models import WriteMark
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from legacy_adapters.models import ParityMinute

Value = float | None
_PERCENT: Final = 100


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        label: its name in the legend and in the table.
        look: how it is drawn: a key of the script's ``LOOKS``.
        values: one for each point; None where nothing is known.

    """

    label: str
    look: str
    values: list[Value]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart, and the table that says the same.

    Attributes:
        unit: of the values, for the axis: a key of the script's ``UNITS``.
        empty: what is said instead while there is nothing to draw.

    """

    name: str
    title: str
    unit: str
    empty: str
    lines: list[Line] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw; what is only needed does not count."""
        drawn = (line.values for line in self.lines if line.look != "needed")
        return not any(value is not None for values in drawn for value in values)


def charts_of(
    window: Window, minutes: Sequence[ParityMinute], counting: Sequence[ParityMinute]
) -> list[Chart]:
    """Return all charts of an endpoint.

    Either may begin before the window; ``counting`` are those that count for its next move.
    """
    bins = binned(window, minutes)
    return [
        _parity(window, counting),
        _rates(window, bins, "compared", "Comparisons a minute", _COMPARED),
        _rates(window, bins, "differences", "Differences and errors a minute", _DIFFERENT),
        _latency(bins),
        _backlog(window),
    ]


def to_json(window: Window, charts: Iterable[Chart]) -> dict[str, Any]:
    """Return what the script draws."""
    return {
        "x": [start.timestamp() for start in window.starts],
        "end": window.end.timestamp(),
        "charts": [asdict(chart) for chart in charts],
    }


def table_of(window: Window, chart: Chart) -> list[tuple[datetime, list[str]]]:
    """Return the chart's rows as text, the latest first; points without a value are left out."""
    if chart.is_empty:
        return []
    text = _TEXTS[chart.unit]
    columns = zip(*(line.values for line in chart.lines), strict=True)
    found = zip(window.starts, columns, strict=True)
    known = [
        (start, [text(value) for value in values])
        for start, values in found
        if any(
            value is not None
            for value, line in zip(values, chart.lines, strict=True)
            if line.look != "needed"
        )
    ]
    return known[::-1]


def _parity(window: Window, counting: Sequence[ParityMinute]) -> Chart:
    """Return the agreeing part of all comparisons that count, as it grew surer with each."""
    compared = [0] * len(window.starts)
    agreed = [0] * len(window.starts)
    for minute in counting:
        index = window.nearest(minute.minute)  # what came before counts from the first on
        compared[index] += minute.compared
        agreed[index] += minute.agreed + minute.transient
    part: list[Value] = []
    low: list[Value] = []
    high: list[Value] = []
    of_all = agreeing = 0
    for more, good in zip(compared, agreed, strict=True):
        of_all, agreeing = of_all + more, agreeing + good
        part.append(_PERCENT * agreeing / of_all if of_all else None)
        low.append(_bound(agreeing, of_all))
        differing = _bound(of_all - agreeing, of_all)  # the interval is symmetric
        high.append(None if differing is None else _PERCENT - differing)
    needed: list[Value] = [_PERCENT * get_conf().PARITY_THRESHOLD] * len(part)
    return Chart(
        name="parity",
        title="Agreeing part so far, with its bounds",
        unit="percent",
        empty="Nothing compared yet: comparing begins at shadow.",
        lines=[
            Line(label="upper bound", look="bound", values=high),
            Line(label="lower bound", look="bound", values=low),
            Line(label="agreeing", look="unified", values=part),
            Line(label="needed by the lower bound", look="needed", values=needed),
        ],
    )


def _bound(agreeing: int, of_all: int) -> Value:
    found = lower_bound(agreeing, of_all, get_conf().CONFIDENCE)
    return None if found is None else _PERCENT * found


_COMPARED: Final = [
    ("compared", "bar", ("compared",)),
    ("left out", "shed", ("shed", "failed")),
]
_DIFFERENT: Final = [
    ("transient", "mild", ("transient",)),
    ("confirmed", "wrong", ("confirmed",)),
    ("errors of the new side", "errors", ("errors",)),
]


def _rates(
    window: Window,
    bins: Sequence[Bin],
    name: str,
    title: str,
    wanted: Sequence[tuple[str, str, tuple[str, ...]]],
) -> Chart:
    is_empty = not any(any(each.counts.values()) for each in bins)
    per = window.step.total_seconds() / 60
    lines = [
        Line(
            label=label,
            look=look,
            values=[
                None if is_empty else sum(each.counts[count] for count in counts) / per
                for each in bins
            ],
        )
        for label, look, counts in wanted
    ]
    return Chart(
        name=name, title=title, unit="count", empty="Nothing compared in this time.", lines=lines
    )


def _latency(bins: Sequence[Bin]) -> Chart:
    wanted: list[tuple[str, str, Callable[[Bin], dict[str, int]], float]] = [
        ("old p50", "legacy", lambda each: each.legacy_ms, 0.5),
        ("old p95", "legacy95", lambda each: each.legacy_ms, 0.95),
        ("new p50", "unified", lambda each: each.unified_ms, 0.5),
        ("new p95", "unified95", lambda each: each.unified_ms, 0.95),
    ]
    lines = [
        Line(label=label, look=look, values=[percentile(side(each), part) for each in bins])
        for label, look, side, part in wanted
    ]
    return Chart(
        name="latency",
        title="How long a read takes, old against new",
        unit="ms",
        empty="Nothing compared in this time.",
        lines=lines,
    )


def _backlog(window: Window) -> Chart:
    """Return how many of the sessions that wait now waited then already: how old the backlog is."""
    found = (
        rows(WriteMark)
        .annotate(minute=TruncMinute("marked_at"))
        .values_list("minute")
        .annotate(
            waiting=Count("pk", filter=Q(is_dead=False)), dead=Count("pk", filter=Q(is_dead=True))
        )
    )
    waiting, dead = ([0] * len(window.starts) for _ in range(2))
    for minute, alive, given_up in found:
        first = window.nearest(minute)
        waiting[first] += alive
        dead[first] += given_up
    is_any = any(waiting) or any(dead)
    lines = [
        Line(
            label=label, look=look, values=[each if is_any else None for each in accumulate(counts)]
        )
        for label, look, counts in (("waiting", "area", waiting), ("given up", "bad", dead))
    ]
    return Chart(
        name="backlog",
        title="Repair backlog by age: waiting now, and since when",
        unit="count",
        empty="Nothing waits for repair.",
        lines=lines,
    )


_TEXTS: Final[dict[str, Callable[[Value], str]]] = {
    "percent": lambda value: part_text(None if value is None else value / _PERCENT),
    "count": lambda value: count_text(None if value is None else round(value)),
    "ms": duration_text,
}

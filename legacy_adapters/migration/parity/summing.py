"""What the comparisons of an endpoint have come to, and how sure that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.parity.histograms import added, percentile
from legacy_adapters.migration.parity.tallies import COUNTS, MAPS
from legacy_adapters.models import ParityMinute, StageChange
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from legacy_adapters.migration.stages.names import Endpoint, Stage
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Sums of comparisons; the counts are those of `ParityMinute`.

    Attributes:
        lower_bound: what part agrees at least, 0 to 1; None: nothing was compared.
        last_at: the minute of the last comparison.
        served_ms: how many reads that the endpoint answered took at most so many milliseconds
            (text).
        legacy_ms: as many of the comparisons' reads of the legacy side.
        unified_ms: as many of the unified side.
        fields: name → how often it was confirmed to differ.

    """

    compared: int = 0
    agreed: int = 0
    transient: int = 0
    confirmed: int = 0
    shed: int = 0
    failed: int = 0
    reads: int = 0
    errors: int = 0
    lower_bound: float | None = None
    last_at: datetime | None = None
    served_ms: Mapping[str, int] = field(default_factory=dict)
    legacy_ms: Mapping[str, int] = field(default_factory=dict)
    unified_ms: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def p50(self) -> dict[str, float | None]:
        """The median of each side's reads, in milliseconds; None: there were none."""
        return self._percentiles(0.5)

    @cached_property
    def p95(self) -> dict[str, float | None]:
        """Below what 95 % of each side's reads were, in milliseconds; None: there were none."""
        return self._percentiles(0.95)

    def _percentiles(self, part: float) -> dict[str, float | None]:
        return {
            "legacy": percentile(self.legacy_ms, part),
            "unified": percentile(self.unified_ms, part),
        }

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts and screens."""
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "lower_bound": self.lower_bound,
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "fields": dict(self.fields),
        }


def parity_of(tiers: Tiers, endpoint: Endpoint, stage: Stage, *, since: datetime | None) -> Parity:
    """Return an endpoint's parity at a stage since then; what is too old does not count.

    That is `PARITY_MAX_AGE_SECONDS`: parity that nobody measures any more is none.
    """
    oldest = tiers.clock.now() - timedelta(seconds=get_conf().PARITY_MAX_AGE_SECONDS)
    return summed(endpoint, [stage], since=oldest if since is None else max(since, oldest))


def summed(endpoint: Endpoint, stages: Collection[Stage], *, since: datetime) -> Parity:
    """Return the sums since then, of the whole minutes, but of none that a change closed."""
    return _sum(_rows(endpoint, since).filter(stage__in=stages))


def last_legacy_ms(endpoint: Endpoint) -> Mapping[str, int]:
    """Return how long the legacy side took on the last day on which it was compared; {}: never.

    However long ago that is: at `ramp_down` nothing is compared, and nothing newer is known.
    """
    found = rows(ParityMinute).filter(endpoint=endpoint).exclude(legacy_ms={})
    last_at = found.aggregate(last=Max("minute"))["last"]
    if last_at is None:
        return {}
    day = found.filter(minute__gt=last_at - timedelta(days=1))
    return added(*day.values_list("legacy_ms", flat=True))


def minutes(tiers: Tiers, endpoint: Endpoint, since: datetime) -> list[ParityMinute]:
    """Return the minutes since then, oldest first, one by stage: not to be saved."""
    found: dict[tuple[datetime, str], ParityMinute] = {}
    begins_at = since.replace(second=0, microsecond=0)
    for row in rows(ParityMinute).filter(endpoint=endpoint, minute__gte=begins_at).order_by("pk"):
        before = found.setdefault((row.minute, row.stage), row)
        if before is not row:
            _add(before, row)
    return [found[key] for key in sorted(found)]


def forget_old(tiers: Tiers, *, days: int = 90) -> int:
    """Delete the minutes that are older than so many days; return how many."""
    before = tiers.clock.now() - timedelta(days=days)
    return rows(ParityMinute).filter(minute__lt=before).delete()[0]


def lower_bound(agreed: int, compared: int, confidence: float) -> float | None:
    """Return what part agrees at least, with that confidence; None: nothing was compared.

    Wilson's score interval, one-sided (E. B. Wilson, "Probable Inference, the Law of Succession,
    and Statistical Inference", JASA 22, 1927, pages 209 to 212): unlike the plain one it does not
    take a few comparisons without a difference for certainty.
    """
    if not compared:
        return None
    z = NormalDist().inv_cdf(confidence)
    part, square = agreed / compared, z * z / compared
    spread = z * sqrt(part * (1 - part) / compared + square / (4 * compared))
    return max((part + square / 2 - spread) / (1 + square), 0.0)


def _rows(endpoint: Endpoint, since: datetime) -> Any:
    """Return the rows since then; not those of the same minute that a stage change ended.

    A process counts under the last change that it knows, so that this needs no equal clocks.
    """
    changes = rows(StageChange).filter(endpoint=endpoint, at__lte=since)
    epoch = changes.aggregate(last=Max("pk"))["last"] or 0
    begins_at = since.replace(second=0, microsecond=0)
    return rows(ParityMinute).filter(endpoint=endpoint, minute__gte=begins_at, epoch__gte=epoch)


def _sum(found: Iterable[ParityMinute]) -> Parity:
    total = ParityMinute()
    last_at = None
    for each in found:
        _add(total, each)
        if each.compared:
            last_at = each.minute if last_at is None else max(last_at, each.minute)
    agreeing = total.agreed + total.transient
    return Parity(
        **{name: getattr(total, name) for name in COUNTS},
        lower_bound=lower_bound(agreeing, total.compared, get_conf().CONFIDENCE),
        last_at=last_at,
        served_ms=total.served_ms,
        legacy_ms=total.legacy_ms,
        unified_ms=total.unified_ms,
        fields=dict(Counter(total.fields).most_common()),
    )


def _add(total: ParityMinute, other: ParityMinute) -> None:
    for name in COUNTS:
        setattr(total, name, getattr(total, name) + getattr(other, name))
    for name in MAPS:
        setattr(total, name, added(getattr(total, name), getattr(other, name)))

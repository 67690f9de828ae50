"""How long reads took, as counts by an upper bound: small, and added up across processes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LABELS: Final = (*map(str, BOUNDS_MS), "inf")


def label_of(seconds: float) -> str:
    """Return the upper bound, in milliseconds as text, of what took so long; ``inf``: none."""
    return _LABELS[bisect_left(BOUNDS_MS, seconds * 1000)]


def added(*histograms: Mapping[str, int]) -> dict[str, int]:
    """Return their sum."""
    total: Counter[str] = Counter()
    for each in histograms:
        total.update(each)
    return dict(total)


def percentile(histogram: Mapping[str, int], part: float) -> float | None:
    """Return below how many milliseconds ``part`` of them (0 to 1) lie; None: there are none.

    Within a bucket they are taken to lie evenly, as Prometheus does; beyond the last bound it is
    that bound.
    """
    rank = part * sum(histogram.values())
    if not rank:
        return None
    below, lower = 0, 0
    for bound in BOUNDS_MS:
        count = histogram.get(str(bound), 0)
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return float(BOUNDS_MS[-1])

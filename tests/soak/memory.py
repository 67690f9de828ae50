"""Whether a process keeps growing: its resident memory, sampled, and the slope of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from statistics import median_low
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEGABYTE: Final = 1024 * 1024
# Over the last two thirds: about 200 bytes for each request that a process answers in that time.
TOLERANCE_MB: Final = 8.0
# Imports, connections, the first copies.
START_SECONDS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What one process did in the time that is judged.

    Attributes:
        name: its role.
        seconds: how long that was.
        first_mb: at the beginning of it.
        last_mb: at the end.
        most_mb: at most, in its whole life.
        grown_mb: by the median slope between any two samples.

    """

    name: str
    seconds: int
    first_mb: float
    last_mb: float
    most_mb: float
    grown_mb: float

    @property
    def is_flat(self) -> bool:
        """Whether it stayed within the tolerance."""
        return self.grown_mb <= TOLERANCE_MB


class Memory:
    """Samples by process."""

    def __init__(self) -> None:
        self._samples: defaultdict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def sample(self, roles: Mapping[str, Iterable[psutil.Process]], *, at: float) -> None:
        """Look at them once; a process that ended meanwhile is left out."""
        for role, processes in roles.items():
            for process in processes:
                try:
                    resident = process.memory_info().rss / MEGABYTE
                except psutil.Error:
                    continue
                self.add(role, process.pid, at=at, megabytes=resident)

    def add(self, role: str, pid: int, *, at: float, megabytes: float) -> None:
        """Keep one sample."""
        self._samples[role, pid].append((at, megabytes))

    def growth(self, *, began: float, ended: float) -> list[Growth]:
        """Judge those that lived for a quarter of that time at least, their start apart."""
        found = []
        for (role, _), samples in self._samples.items():
            first = max(began, samples[0][0] + START_SECONDS)
            judged = [each for each in samples if first <= each[0] <= ended]
            if not judged or judged[-1][0] - judged[0][0] < (ended - began) / 4:
                continue
            times = [at for at, _ in judged]
            sizes = [size for _, size in judged]
            slope = _slope(judged)
            found.append(
                Growth(
                    name=role,
                    seconds=round(times[-1] - times[0]),
                    first_mb=round(sizes[0], 1),
                    last_mb=round(sizes[-1], 1),
                    most_mb=round(max(size for _, size in samples), 1),
                    grown_mb=round(slope * (times[-1] - times[0]), 2),
                )
            )
        return found

    def samples(self) -> list[dict[str, Any]]:
        """Return all of them, for whoever wants to look."""
        return [
            {"role": role, "pid": pid, "samples": samples}
            for (role, pid), samples in self._samples.items()
        ]

    def most(self) -> dict[str, float]:
        """Return role → the most that one process of it had, in MB."""
        found: dict[str, float] = {}
        for (role, _), samples in self._samples.items():
            largest = max(size for _, size in samples)
            found[role] = round(max(largest, found.get(role, 0.0)), 1)
        return found


def _slope(samples: list[tuple[float, float]]) -> float:
    # The median (Theil and Sen's): one step, a worker's first task for example, is not a slope.
    return median_low(
        (after - before) / (end - begin)
        for (begin, before), (end, after) in combinations(samples, 2)
    )

"""When which fault comes: every one of them once a round, in an order of the seed's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WARM_UP_SECONDS: Final = 20
PAUSE_SECONDS: Final = 7
# Now and then long enough for the relay to have mended everything: then nothing is excused.
REST_SECONDS: Final = 20
REST_EVERY: Final = 7
LAST_PAUSE_SECONDS: Final = 5
SHORTEST_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Step:
    """A healthy pause, then a fault.

    Attributes:
        name: of the fault.
        pause: seconds before it.
        seconds: how long it lasts.

    """

    name: str
    pause: float
    seconds: float

    @property
    def total(self) -> float:
        """Seconds of both."""
        return self.pause + self.seconds


def plan(faults: Mapping[str, float], *, seconds: float, seed: int) -> list[Step]:
    """Return steps that fill ``seconds``; ``faults``: name → how long it lasts.

    Where one round doesn't fit, everything in it is shortened alike, so that each fault comes.
    """
    warm_up = min(WARM_UP_SECONDS, seconds / 8)
    left = seconds - warm_up - LAST_PAUSE_SECONDS
    whole_round = sum(faults.values()) + sum(_pause(place) for place in range(1, len(faults)))
    pace = min(1.0, left / whole_round)
    steps: list[Step] = []
    for name in _rounds(faults, seed):
        step = Step(
            name=name,
            pause=max(SHORTEST_SECONDS, _pause(len(steps)) * pace) if steps else warm_up,
            seconds=max(SHORTEST_SECONDS, faults[name] * pace),
        )
        if sum(each.total for each in steps) + step.total > seconds:
            return steps
        steps.append(step)
    raise AssertionError


def _pause(place: int) -> float:
    return PAUSE_SECONDS if place % REST_EVERY else REST_SECONDS


def _rounds(faults: Mapping[str, float], seed: int) -> Iterator[str]:
    order = random.Random(seed)
    while True:
        names = sorted(faults)
        order.shuffle(names)
        yield from names

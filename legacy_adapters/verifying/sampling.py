"""A random part of a legacy store, without reading all of it."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.base import LegacyAdapter, LegacyRecord

_PLACES: Final = 100
_CUTS: Final = range(1_000, 2_000)


def sample(adapter: LegacyAdapter, number: int, *, seed: int) -> Iterator[tuple[LegacyRecord, ...]]:
    """Yield about ``number`` records: some neighbours each from up to a hundred random places.

    The places are cuts of the store into even parts; the seed chooses how many parts, and which,
    so that other seeds come to other records. A store with no more than that is read whole.
    Neighbours in the order of keys were made at about the same time, so a sample says less of the
    whole than as many records drawn one by one would. The same seed finds the same while nothing
    changes.

    Raises:
        SourceUnavailableError: the store did not answer.

    """
    chance = random.Random(seed)  # noqa: S311  (a sample is no secret)
    total = adapter.count()
    if total <= number:
        yield from (batch.records for batch in adapter.scan())
        return
    places = min(_PLACES, number)
    size = -(-number // places)
    parts = min(chance.choice(_CUTS), total // size)
    cuts: list[str | None] = [None, *adapter.boundaries(max(parts, 1))]
    chosen = sorted(chance.sample(range(len(cuts)), min(places, len(cuts))))
    ends = [cuts[place] for place in chosen[1:]]
    left = number
    for place, until in zip(chosen, [*ends, None], strict=True):
        found = adapter.scan(cuts[place], until=until, batch_size=min(size, left))
        for batch in islice(found, 1):
            yield batch.records
            left -= len(batch.records)
        if left <= 0:
            return

"""Sessions that came from a legacy store and that it no longer has: deletes of the old shop.

What was imported is compared with what was seen, bucket by bucket, so that neither list is ever
held: whole stores take a megabyte. Where a bucket's sums agree, nothing of it is gone; of the
others each id is asked for.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING, Final

from legacy_adapters.models import ImportRecord
from sessions_unified.ids import is_session_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BUCKETS: Final = 1 << 16
_WORD: Final = (1 << 64) - 1


class Ledger:
    """Sums of ids by bucket: equal sums mean equal sets, but for one chance in 2⁶⁴ a bucket."""

    def __init__(self) -> None:
        self._sums = array("Q", bytes(8 * _BUCKETS))

    def add(self, session_ids: Iterable[str]) -> None:
        """Count these in, each once."""
        for session_id in session_ids:
            self._change(_digest(session_id), by=1)

    def remove(self, session_ids: Iterable[str]) -> None:
        """Take these out again."""
        for session_id in session_ids:
            self._change(_digest(session_id), by=-1)

    def agrees_on(self, other: Ledger, session_id: str) -> bool:
        """Tell whether both have the same ids in this one's bucket."""
        bucket = _digest(session_id) % _BUCKETS
        return bool(self._sums[bucket] == other._sums[bucket])

    def _change(self, digest: int, *, by: int) -> None:
        bucket = digest % _BUCKETS
        self._sums[bucket] = (self._sums[bucket] + by * (digest >> 64)) & _WORD


def _digest(session_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(session_id.encode(), digest_size=16).digest())


class Imports:
    """The sessions that were imported from one source, as our database has them."""

    def __init__(self, *, source: str, alias: str) -> None:
        self._records = ImportRecord.objects.using(alias).filter(source=source)

    def among(self, keys: Iterable[str]) -> list[str]:
        """Return which of these were imported; a store's key may be anything."""
        found = self._records.filter(session_id__in=[key for key in keys if is_session_id(key)])
        return list(found.values_list("session_id", flat=True))

    def batches(self, size: int) -> Iterator[Sequence[str]]:
        """Yield all of them, a short statement a batch."""
        last = ""
        ordered = self._records.order_by("session_id").values_list("session_id", flat=True)
        while batch := list(ordered.filter(session_id__gt=last)[:size]):
            yield batch
            last = batch[-1]


def suspects(imports: Imports, seen: Ledger, *, batch_size: int) -> Iterator[Sequence[str]]:
    """Yield imported ids that may be gone from the store; most of them are not."""
    known = Ledger()
    for batch in imports.batches(batch_size):
        known.add(batch)
    for batch in imports.batches(batch_size):
        if found := [each for each in batch if not seen.agrees_on(known, each)]:
            yield found

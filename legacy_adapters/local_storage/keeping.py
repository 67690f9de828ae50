"""Broken blobs, kept for inspection: sealed, once each with a count, the oldest ones out."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import F

from legacy_adapters import metrics
from legacy_adapters.models import KeptBlob
from legacy_adapters.tables import rows
from sessions_unified.card_data import mask_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from legacy_adapters.local_storage.blobs import Broken

MAX_KEPT: Final = 1_000
MAX_AGE: Final = timedelta(days=30)
"""Since it was sent last. Long enough to look at, and it is personal data."""
_MAX_REASON: Final = 200


def keep(broken: Sequence[Broken], *, source: str, now: datetime) -> None:
    """Keep what one browser sent and nobody can read, card numbers masked: one row for all of it.

    The same again is only counted.
    """
    for each in broken:
        metrics.BROKEN_ENTRIES.labels("blob" if each.key is None else "entry").inc()
    if broken:
        reason = "; ".join(dict.fromkeys(each.reason for each in broken))
        _keep(_text(broken), reason[:_MAX_REASON], source, now)


def _text(broken: Sequence[Broken]) -> str:
    whole = next((each for each in broken if each.key is None), None)
    if whole is not None:
        return str(whole.content)
    try:
        return json.dumps({each.key: each.content for each in broken}, default=str)
    except RecursionError:  # as deep as a thread's stack: only its text could be shown
        return repr(broken[0].reason)


def _keep(text: str, reason: str, source: str, now: datetime) -> None:
    # Before the digest, which would else tell a number to whoever tries them all.
    text = mask_numbers(text, "[card number]")
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    blobs = rows(KeptBlob)
    seen = blobs.filter(digest=digest)
    if seen.update(times=F("times") + 1, last_seen_at=now):
        return
    kept = KeptBlob(
        source=source,
        digest=digest,
        text=text,
        reason=reason,
        first_seen_at=now,
        last_seen_at=now,
    )
    # Two browsers may send the same at once: the second is not counted, and nothing fails.
    blobs.bulk_create([kept], ignore_conflicts=True)
    _drop_oldest(blobs)


def _drop_oldest(blobs: QuerySet[KeptBlob]) -> None:
    newest_first = blobs.order_by("-last_seen_at", "-pk")
    surplus = list(newest_first.values_list("pk", flat=True)[MAX_KEPT:])
    if surplus:
        blobs.filter(pk__in=surplus).delete()


def forget_old(now: datetime) -> int:
    """Delete what was sent longer ago than `MAX_AGE`; return how many."""
    return rows(KeptBlob).filter(last_seen_at__lte=now - MAX_AGE).delete()[0]

"""How far behind acknowledged writes answers were: the bound on age, and revivals."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.soak.ledger import ACKNOWLEDGED, VERSIONED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.soak.record import Record

# Longer after every fault and after the deletion, no copy can be excused: the relay has been by.
SETTLED_SECONDS: Final = 10
GONE: Final = math.inf


class Acknowledgements:
    """When each version of each session was first known to somebody."""

    def __init__(self, records: Iterable[Record]) -> None:
        known: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for record in records:
            if record.status not in ACKNOWLEDGED:
                continue
            if record.op in VERSIONED:
                known[record.session].append((record.version, record.done))
            elif record.op == "delete":
                known[record.session].append((GONE, record.done))
        self._known = {session: _earliest(pairs) for session, pairs in known.items()}

    def behind(self, record: Record) -> float:
        """Return for how many seconds something newer than this answer had been known."""
        versions, earliest = self._known.get(record.session, ([], []))
        place = bisect_right(versions, record.version)
        return max(0.0, record.asked - earliest[place]) if place < len(versions) else 0.0

    def deleted_at(self, session: str) -> float | None:
        """Return when its deletion was acknowledged."""
        versions, earliest = self._known.get(session, ([], []))
        return earliest[-1] if versions and versions[-1] == GONE else None


def _earliest(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the versions in order, and when each or a later one was first known."""
    pairs.sort()
    versions = [version for version, _ in pairs]
    earliest = [done for _, done in pairs]
    for place in range(len(earliest) - 2, -1, -1):
        earliest[place] = min(earliest[place], earliest[place + 1])
    return versions, earliest


@dataclass(kw_only=True)
class Ages:
    """What reads said that was not so any more.

    Attributes:
        bound: seconds, as published.
        old: answers older than an acknowledged write, deletions excepted.
        oldest: the furthest behind, in seconds.
        oldest_settled: the same long after the last fault.
        after_delete: answers with a session whose deletion had been acknowledged.
        latest_after_delete: the longest after it, in seconds.
        revived: those that nothing excuses, a sentence each.

    """

    bound: float
    old: int = 0
    oldest: float = 0.0
    oldest_settled: float = 0.0
    after_delete: int = 0
    latest_after_delete: float = 0.0
    revived: list[str] = field(default_factory=list)

    def add(
        self, record: Record, known: Acknowledgements, mended_at: Callable[[float], float]
    ) -> None:
        """Judge one answer; ``mended_at`` tells when the last fault before a time ended."""
        if record.op not in {"read", "ghost"} or record.status != 200:
            return
        behind = known.behind(record)
        if not behind:
            return
        settled = record.asked - mended_at(record.asked) > SETTLED_SECONDS
        deleted_at = known.deleted_at(record.session)
        if deleted_at is not None and deleted_at < record.asked:
            after = record.asked - deleted_at
            self.after_delete += 1
            self.latest_after_delete = max(self.latest_after_delete, after)
            if after > self.bound or (settled and after > SETTLED_SECONDS):
                self.revived.append(
                    f"{record.session} was answered by {record.node} {after:.1f} s after its end"
                )
            return
        self.old += 1
        self.oldest = max(self.oldest, behind)
        if settled:
            self.oldest_settled = max(self.oldest_settled, behind)

"""What was acknowledged against what the database holds: no update lost, none of it twice.

An outcome is acknowledged (its status says so), refused, or unknown: a request that was cut, or
answered 503 after it may have been stored. An unknown write may have happened or not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.soak.record import CUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.soak.record import Record

VERSIONED: Final = frozenset({"create", "increment", "merge"})
ACKNOWLEDGED: Final = frozenset({200, 201, 204})


def is_unknown(record: Record) -> bool:
    """Whether nobody knows if this write happened."""
    return record.status == CUT or record.status >= 500


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A session in the database at the end.

    Attributes:
        seqs: of its events.

    """

    version: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_deleted: bool = False
    seqs: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class Ledger:
    """Every write, by what was said about it.

    Attributes:
        acknowledged: operation → how many.
        unknown: operation → how many.
        versions: (session, version) → how many writers were told that it is theirs.
        created: sessions.
        deleted: session → when its deletion was acknowledged.
        doomed: sessions that somebody tried to delete.
        merged: (session, key) → the last number acknowledged.
        sent: (session, key) → the last number sent.

    """

    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    versions: Counter[tuple[str, int]] = field(default_factory=Counter)
    created: set[str] = field(default_factory=set)
    deleted: dict[str, float] = field(default_factory=dict)
    doomed: set[str] = field(default_factory=set)
    merged: dict[tuple[str, str], int] = field(default_factory=dict)
    sent: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Book a request; reads are none of it."""
        if record.op not in VERSIONED | {"delete"}:
            return
        is_acknowledged = record.status in ACKNOWLEDGED
        if is_acknowledged:
            self.acknowledged[record.op] += 1
        elif is_unknown(record):
            self.unknown[record.op] += 1
        if record.op in VERSIONED and is_acknowledged:
            self.versions[record.session, record.version] += 1
        if record.op == "create" and is_acknowledged:
            self.created.add(record.session)
        if record.op == "delete":
            self._add_delete(record, is_acknowledged=is_acknowledged)
        if record.op == "merge":
            self._add_merge(record, is_acknowledged=is_acknowledged)

    def _add_delete(self, record: Record, *, is_acknowledged: bool) -> None:
        self.doomed.add(record.session)
        if is_acknowledged:
            self.deleted[record.session] = record.done

    def _add_merge(self, record: Record, *, is_acknowledged: bool) -> None:
        key, _, number = record.note.partition("=")
        place = record.session, key
        self.sent[place] = max(int(number), self.sent.get(place, 0))
        if is_acknowledged:
            self.merged[place] = max(int(number), self.merged.get(place, 0))

    def faults(self, stored: Mapping[str, Stored], *, counters: Iterable[str]) -> list[str]:
        """Return what contradicts what was said, a sentence each; none: no update was lost."""
        return [
            *self._lost_versions(stored),
            *self._split_versions(),
            *self._wrong_counters(stored, counters),
            *self._wrong_merges(stored),
            *self._wrong_rows(stored),
        ]

    def _lost_versions(self, stored: Mapping[str, Stored]) -> Iterable[str]:
        for session, version in self.versions:
            if session not in stored or version not in stored[session].seqs:
                yield f"lost: v{version} of {session} was acknowledged and has no event"

    def _split_versions(self) -> Iterable[str]:
        for (session, version), writers in self.versions.items():
            if writers > 1:
                yield f"split: v{version} of {session} was acknowledged to {writers} writers"

    def _wrong_counters(
        self, stored: Mapping[str, Stored], counters: Iterable[str]
    ) -> Iterable[str]:
        for session in counters:
            row = stored[session]
            number = row.metadata.get("n", 0)
            if number != row.version - 1:
                yield f"lost: {session} counts {number} after {row.version - 1} increments"

    def _wrong_merges(self, stored: Mapping[str, Stored]) -> Iterable[str]:
        for (session, key), sent in self.sent.items():
            at_least = self.merged.get((session, key), 0)
            held = stored[session].metadata.get(key, 0)
            if not at_least <= held <= sent:
                yield f"lost: {key} of {session} is {held}, not {at_least} to {sent}"

    def _wrong_rows(self, stored: Mapping[str, Stored]) -> Iterable[str]:
        for session, row in stored.items():
            if row.seqs != frozenset(range(1, row.version + 1)):
                yield f"lost: the events of {session} are not 1 to {row.version}"
        for session in self.deleted:
            if not stored[session].is_deleted:
                yield f"revived: {session} was deleted and has a row"
        for session in self.created - self.doomed:
            if session not in stored or stored[session].is_deleted:
                yield f"lost: {session} was created and is gone"

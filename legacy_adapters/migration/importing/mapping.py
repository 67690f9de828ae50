"""Records as sessions: those that can be read, each id once, and why the others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration.importing.records import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from legacy_adapters.base import LegacyAdapter, LegacyRecord


class Unreadable(NamedTuple):
    """A record that becomes no session."""

    id: str | None
    reason: str


def map_records(
    adapter: LegacyAdapter, records: Iterable[LegacyRecord]
) -> tuple[dict[str, Reading], list[Unreadable]]:
    """Return the records by their session's id, and the unreadable ones: an id again is one."""
    readings: dict[str, Reading] = {}
    unreadable: list[Unreadable] = []
    for record in records:
        try:
            session = adapter.to_unified(record)
        except UnreadableRecordError as exc:
            unreadable.append(Unreadable(record.id, exc.reason))
            continue
        if session.id in readings:
            unreadable.append(Unreadable(record.id, "id occurs more than once"))
            continue
        readings[session.id] = Reading(record=record, session=session)
    return readings, unreadable

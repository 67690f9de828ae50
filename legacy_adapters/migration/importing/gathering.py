"""What several stores say of one session, gathered and brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.merging import Candidate, Merged, merge
from legacy_adapters.migration.importing.records import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from legacy_adapters.base import LegacyAdapter, LegacyRecord


def gather(
    adapters: Iterable[LegacyAdapter],
    session_id: str,
    *,
    peek: Callable[[LegacyAdapter, str], LegacyRecord | None],
    leave_out: Callable[[LegacyAdapter, str], None],
) -> dict[LegacyAdapter, Reading]:
    """Return what each store that knows the session says, in the adapters' order.

    ``peek`` reads a record. ``leave_out`` is told whose record says nothing, and why.

    Raises:
        SourceUnavailableError: a store did not answer.

    """
    found = {}
    for adapter in adapters:
        record = peek(adapter, session_id)
        if record is None:
            continue
        try:
            session = adapter.to_unified(record)
        except UnreadableRecordError as exc:
            leave_out(adapter, exc.reason)
            continue
        if session.id == session_id:
            found[adapter] = Reading(record=record, session=session)
        else:
            leave_out(adapter, "it is of another session")
    return found


def together(found: Mapping[LegacyAdapter, Reading]) -> Merged:
    """Return the one session; what a single store says stays as it is, as in a backfill."""
    if len(found) == 1:
        return Merged(session=next(iter(found.values())).session, conflicts=())
    return merge(
        Candidate(store=adapter.store, session=reading.session)
        for adapter, reading in found.items()
    )

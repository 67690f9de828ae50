"""One look at some records of a legacy store, and at the same sessions here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from legacy_adapters.merging.comparing import differing
from legacy_adapters.merging.evidence import of_fields
from legacy_adapters.migration.importing.mapping import map_records
from legacy_adapters.models import SessionConflict
from legacy_adapters.verifying.findings import Finding, Kind
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter, LegacyRecord
    from legacy_adapters.migration.importing.records import Reading
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers


def look_at(
    tiers: Tiers, adapter: LegacyAdapter, records: Sequence[LegacyRecord]
) -> Iterator[Finding]:
    """Yield a finding for each record. Three short statements here at most, for any number.

    Raises:
        DatabaseUnavailableError: the sessions' own database did not answer.
        SealedValueError: what is encrypted at rest here cannot be opened.

    """
    readings, unreadable = map_records(adapter, records)
    for each in unreadable:
        yield Finding(id=each.id, kind=Kind.UNREADABLE, reason=each.reason)
    # The legacy side was read before this one: what is written to both is seen here at the latest.
    here = tiers.database.peek_many(readings)
    deleted = _tombstones(tiers, readings.keys() - here.keys())
    now = tiers.clock.now()
    others: list[Finding] = []
    for session_id, reading in readings.items():
        if session_id in deleted:
            yield Finding(id=session_id, kind=Kind.DELETED)
        elif session_id not in here:
            yield Finding(id=session_id, kind=Kind.MISSING)
        else:
            found = _compared(adapter, reading.session, here[session_id].session, now)
            if found.kind is Kind.AGREES:
                yield found
            else:
                others.append(found)
    yield from _judged(tiers, adapter.source, others, readings)


def _compared(
    adapter: LegacyAdapter, legacy: SessionSnapshot, unified: SessionSnapshot, now: datetime
) -> Finding:
    store = adapter.store
    names = differing(legacy, unified, fields=adapter.fields, now=now, store=store)
    if not names:
        return Finding(id=unified.id, kind=Kind.AGREES)
    evidence = tuple(of_fields(names, unified=unified, legacy=legacy, store=store))
    return Finding(id=unified.id, kind=Kind.DIFFERS, fields=names, evidence=evidence)


def _judged(
    tiers: Tiers, source: str, found: Sequence[Finding], readings: Mapping[str, Reading]
) -> Iterator[Finding]:
    """Yield what differs, apart from what a person has decided for the record as it is now."""
    conflicts = SessionConflict.objects.using(tiers.database.alias).filter(
        source=source, session_id__in=[each.id for each in found]
    )
    decided = {
        each.session_id: frozenset(each.fields)
        for each in (conflicts.exclude(state=SessionConflict.State.OPEN) if found else ())
        if each.digest == readings[each.session_id].record.digest
    }
    for each in found:
        is_decided = frozenset(each.fields) <= decided.get(each.id or "", frozenset())
        yield replace(each, kind=Kind.DECIDED) if is_decided else each


def _tombstones(tiers: Tiers, session_ids: Iterable[str]) -> frozenset[str]:
    """Return which of these sessions were deleted here."""
    wanted = list(session_ids)
    if not wanted:
        return frozenset()
    rows = UnifiedSession.objects.using(tiers.database.alias).filter(
        pk__in=wanted, deleted_at__isnull=False
    )
    return frozenset(rows.values_list("pk", flat=True))

"""Sessions looked at on both sides, by what writes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from legacy_adapters import patience
from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.merging.comparing import differing, past_end
from legacy_adapters.merging.evidence import of_fields
from legacy_adapters.migration.sides.joining import Annex, find_annexes, joined
from legacy_adapters.migration.sides.primary import primary_name
from legacy_adapters.models import SessionConflict
from legacy_adapters.tables import rows
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.postgres import database_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter, LegacyRecord
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers.database import DatabaseTier

EXISTENCE: Final = "existence"
"""What differs of a session that one side does not have."""


class _Spent(NamedTuple):
    """How many seconds each side took to answer."""

    legacy: float
    unified: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """What both sides said of a session.

    Attributes:
        fields: those in which they differ; none: they agree.
        evidence: of these, redacted: a conflict's form.
        legacy_seconds: how long the legacy store took, and ``unified_seconds`` our database.

    """

    fields: tuple[str, ...]
    evidence: tuple[dict[str, Any], ...]
    legacy_seconds: float
    unified_seconds: float


def look_at(
    database: DatabaseTier,
    session_ids: Collection[str],
    *,
    now: datetime,
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, Look | None]:
    """Compare sessions, by id; None: there is nothing to compare, or a write is under way.

    Each side is asked once for all of them, and that is how long it took for each. More than one
    are for a store that can be asked so (``supports_peek_many``). What is written between both
    looks is a difference, which is gone at the next.

    ``seconds`` is what it may wait for our database. The legacy store's adapter has a limit of its
    own.

    Raises:
        SourceUnavailableError: the legacy store did not answer.
        DatabaseUnavailableError: our database did not answer.

    """
    adapter = get_adapter(primary_name())
    began = monotonic()
    with database_budget(seconds):
        there = _peeked(adapter, session_ids)
    between = monotonic()
    left = seconds - (between - began)
    if left <= 0:
        raise DatabaseUnavailableError  # the time is up, before it was asked
    with database_budget(left):
        here = find_annexes(database, session_ids)
        spent = _Spent(legacy=between - began, unified=monotonic() - between)
        return {
            each: _look(adapter, there.get(each), here[each], now, spent) for each in session_ids
        }


def _peeked(adapter: LegacyAdapter, session_ids: Collection[str]) -> dict[str, LegacyRecord]:
    if adapter.supports_peek_many:
        return patience.peek_many(adapter, session_ids)
    found = {each: patience.peek(adapter, each) for each in session_ids}
    return {key: record for key, record in found.items() if record is not None}


def _look(
    adapter: LegacyAdapter,
    record: LegacyRecord | None,
    annex: Annex,
    now: datetime,
    spent: _Spent,
) -> Look | None:
    if annex.marked is not None:
        return None
    found = _differences(adapter, record, annex, now)
    if found is None:
        return None
    fields, evidence = found
    return Look(
        fields=fields,
        evidence=tuple(evidence),
        legacy_seconds=spent.legacy,
        unified_seconds=spent.unified,
    )


_Found = tuple[tuple[str, ...], list[dict[str, Any]]]


def _differences(
    adapter: LegacyAdapter, record: LegacyRecord | None, annex: Annex, now: datetime
) -> _Found | None:
    """Return fields and evidence; None: neither side knows of it."""
    there = None if record is None else _read(adapter, record)
    here = annex.session
    if there is None and here is None:
        return ((), []) if annex.is_deleted else None
    if record is None or there is None or here is None:
        return (EXISTENCE,), [_existence(adapter, is_there=there is not None, annex=annex)]
    fields = _differing(adapter, joined(there, here), here, now)
    if not fields or _is_decided(adapter.source, record, fields):
        return (), []
    return fields, of_fields(fields, unified=here, legacy=there, store=adapter.store)


def _read(adapter: LegacyAdapter, record: LegacyRecord) -> SessionSnapshot | None:
    """Return the session of a record; one that nobody can read is none, as for readers."""
    try:
        return adapter.to_unified(record)
    except UnreadableRecordError:
        return None


def _differing(
    adapter: LegacyAdapter, legacy: SessionSnapshot, unified: SessionSnapshot, now: datetime
) -> tuple[str, ...]:
    """Return what differs; ours past its end may be settled yet, as the old code settled its."""

    def differ(ours: SessionSnapshot) -> tuple[str, ...]:
        return differing(legacy, ours, fields=adapter.fields, now=now, store=adapter.store)

    found = differ(unified)
    settled = past_end(unified, now)
    return found if not found or settled is unified else min(found, differ(settled), key=len)


def _is_decided(source: str, record: LegacyRecord, fields: tuple[str, ...]) -> bool:
    """Tell whether a person has decided this difference, for the record as it is now."""
    decided = rows(SessionConflict).filter(
        source=source, session_id=record.id, digest=record.digest
    )
    found = decided.exclude(state=SessionConflict.State.OPEN).values_list("fields", flat=True)
    return any(set(fields) <= set(each) for each in found)


def _existence(adapter: LegacyAdapter, *, is_there: bool, annex: Annex) -> dict[str, Any]:
    here = "present" if annex.session is not None else "deleted" if annex.is_deleted else None
    return {
        "field": EXISTENCE,
        "rule": EXISTENCE,
        "blocks": True,
        "unified": here,
        "legacy": {str(adapter.store): "present"} if is_there else {},
    }

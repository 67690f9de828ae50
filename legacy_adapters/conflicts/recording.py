"""Conflicts on record: what a person may have to decide, one row for each source and session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import connections, transaction

from legacy_adapters.models import SessionConflict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

_OPEN = SessionConflict.State.OPEN
# The ids go as one JSON text: to write an array's literal costs ten times as much.
_OPEN_OF: Final = (
    "SELECT session_id, digest, blocks FROM legacy_adapters_sessionconflict WHERE source = %s "
    "AND state = 'open' AND session_id = ANY(ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))"
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A record that contradicts its session, or other copies of it.

    Attributes:
        session_id: the session's.
        digest: the record's: another one is another conflict.
        evidence: what differs, redacted: `legacy_adapters.merging.evidence` makes it.

    """

    session_id: str
    digest: str
    evidence: Sequence[Mapping[str, Any]]

    @property
    def fields(self) -> list[str]:
        """The names of the fields in conflict, each once."""
        return list(dict.fromkeys(each["field"] for each in self.evidence))

    @property
    def blocks(self) -> bool:
        """Whether a person must decide before the record can be imported."""
        return any(each["blocks"] for each in self.evidence)


def record(*, source: str, findings: Iterable[Finding], now: datetime, using: str) -> None:
    """Put conflicts on record, a batch at once: two statements, whatever its size.

    One that is on record with the same digest and fields stays as it is; one that was resolved
    stays resolved until its record says something else (another digest), which opens it again.
    Part of the caller's transaction on the database ``using``. Of several findings of one session
    the last counts.
    """
    found = {each.session_id: each for each in findings}
    if not found:
        return
    with transaction.atomic(using=using, savepoint=False):
        known = {each.session_id: each for each in _of(source, found, using).select_for_update()}
        rows = [
            _row(source, each, now)
            for session_id, each in sorted(found.items())
            if not _stands(known.get(session_id), each)
        ]
        SessionConflict.objects.using(using).bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["source", "session_id"],
            update_fields=[
                *("digest", "fields", "evidence", "blocks", "state", "seen_at"),
                *("resolved_at", "resolved_by", "reason"),
            ],
        )


def open_conflicts(
    source: str, session_ids: Iterable[str], *, using: str
) -> list[tuple[str, str, bool]]:
    """Return the open conflicts of these sessions: id, the record's digest, whether it blocks."""
    ids = msgspec.json.encode(list(session_ids)).decode()
    with connections[using].cursor() as cursor:
        cursor.execute(_OPEN_OF, [source, ids])
        found: list[tuple[str, str, bool]] = cursor.fetchall()
        return found


def settle(source: str, session_ids: Collection[str], *, using: str) -> int:
    """Remove the open conflicts of sessions whose records agree by now; return how many were.

    Resolved ones stay: they say who decided what.
    """
    if not session_ids:
        return 0
    removed, _ = _of(source, session_ids, using).filter(state=_OPEN).delete()
    return removed


def _of(
    source: str, session_ids: Iterable[str], using: str
) -> QuerySet[SessionConflict, SessionConflict]:
    # In one order, so that two batches wait for each other instead of for ever.
    rows = SessionConflict.objects.using(using).filter(source=source)
    return rows.filter(session_id__in=list(session_ids)).order_by("session_id")


def _stands(known: SessionConflict | None, finding: Finding) -> bool:
    """Tell whether the row on record needs no change."""
    if known is None or known.digest != finding.digest:
        return False
    return known.state != _OPEN or known.fields == finding.fields


def _row(source: str, finding: Finding, now: datetime) -> SessionConflict:
    return SessionConflict(
        source=source,
        session_id=finding.session_id,
        digest=finding.digest,
        fields=finding.fields,
        evidence=list(finding.evidence),
        blocks=finding.blocks,
        seen_at=now,
    )

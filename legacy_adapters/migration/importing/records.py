"""What was imported as what: the import records, read and written a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from legacy_adapters.base import LegacyRecord
    from sessions_unified.snapshot import SessionSnapshot

MIXED: Final = 0
"""The version that is remembered of a record that went into a session which says more than the
legacy stores do. No session is ever at it, so that the record never replaces the session."""

DECIDED: Final = -1
"""The version that is remembered where a person has decided between the record and the session. No
session is ever at it either, so that the session counts as changed here: another state of the
record is a conflict again, and never merged over the decision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A legacy record and the session it describes."""

    record: LegacyRecord
    session: SessionSnapshot

    @property
    def id(self) -> str:
        """The id of both."""
        return self.session.id


class Known(NamedTuple):
    """What a record said when it was imported last, and the session's version after that."""

    digest: str
    version: int


# Lists go as one JSON text: to write an array's literal costs ten times as much.
_KNOWN: Final = (
    "SELECT session_id, digest, unified_version FROM legacy_adapters_importrecord "
    "WHERE source = %s AND session_id = ANY(ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))"
)
_ELSEWHERE: Final = (
    "SELECT session_id, source, unified_version FROM legacy_adapters_importrecord "
    "WHERE source <> %s AND session_id = ANY(ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))"
)
_REMEMBER: Final = (
    "INSERT INTO legacy_adapters_importrecord "
    "(source, session_id, digest, unified_version, imported_at) "
    "SELECT %s, t.id, t.digest, t.version, %s "
    "FROM jsonb_to_recordset(%s::jsonb) AS t(id text, digest text, version bigint) "
    "ON CONFLICT (session_id, source) DO UPDATE SET digest = excluded.digest, "
    "unified_version = excluded.unified_version, imported_at = excluded.imported_at"
)
_MOVE: Final = (
    "UPDATE legacy_adapters_importrecord SET unified_version = %s "
    "WHERE session_id = %s AND unified_version = %s"
)


def known(alias: str, source: str, ids: Collection[str]) -> dict[str, Known]:
    """Return what is remembered of these sessions' records of one source."""
    found = _run(alias, _KNOWN, [source, _json(list(ids))])
    return {session_id: Known(*rest) for session_id, *rest in found}


def elsewhere(alias: str, source: str, ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return, by session, other sources and the versions that their records were imported at."""
    found: dict[str, dict[str, int]] = {}
    for session_id, other, version in _run(alias, _ELSEWHERE, [source, _json(list(ids))]):
        found.setdefault(session_id, {})[other] = version
    return found


def remember(
    alias: str, source: str, readings: Iterable[Reading], versions: Mapping[str, int], at: datetime
) -> None:
    """Write down that these records are in their sessions, which are at ``versions`` now."""
    rows = [
        {"id": each.id, "digest": each.record.digest, "version": versions[each.id]}
        for each in readings
    ]
    if rows:
        _run(alias, _REMEMBER, [source, at, _json(rows)])


def move(alias: str, session_id: str, *, before: int, after: int) -> None:
    """Let a session that an import has written count as untouched where it did so before."""
    _run(alias, _MOVE, [after, session_id, before])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _run(alias: str, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []

"""Sessions from elsewhere, inserted in batches: the core's half of a backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import connections

from sessions_unified.models import UnifiedSession
from sessions_unified.sealing import COLUMNS as SEALED
from sessions_unified.sealing import seal
from sessions_unified.signals import session_imported
from sessions_unified.snapshot import SessionSnapshot
from sessions_unified.tiers.rows import COLUMNS, EVENTS, JSON_FIELDS, SESSIONS
from sessions_unified.upkeep import sweeping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessions_unified.tiers import Tiers

_encoder = msgspec.json.Encoder(decimal_format="number")


def import_sessions(
    tiers: Tiers, sessions: Sequence[SessionSnapshot], *, source: str
) -> dict[str, int]:
    """Insert the sessions whose ids are free; return their versions by id. Others stay as they are.

    One transaction: rows, an ``imported`` event each, and the receivers of `session_imported`, who
    record what was already paid. Then what is past its end is settled by the usual rule: unpaid →
    expired, paid → completed, held → untouched. A tombstone keeps its id taken.

    No cache is told of the others: nobody can have a copy of a session that was not here.
    """
    if not sessions:
        return {}
    # A source that lists an id twice: the first counts, for the row and for the receivers alike.
    found = {session.id: session for session in reversed(sessions)}
    # In one order, whoever inserts: two that bring the same ones never wait for each other both.
    sessions = [found[session_id] for session_id in sorted(found)]
    with tiers.database.transaction():
        inserted = _insert(tiers, sessions, source)
        new = [session for session in sessions if session.id in inserted]
        if not new:
            return {}
        session_imported.send(sender=UnifiedSession, sessions=new)
        versions = {session.id: session.version for session in new}
        return versions | settle_imported(tiers, new, source=source)


def _column(field: msgspec.structs.FieldInfo) -> str:
    """Return a column as a JSON object of the batch has it: it lacks what is at its default."""
    if field.required or field.default is None:
        return field.name
    default = _encoder.encode(field.default).decode()
    if field.name in JSON_FIELDS:
        return f"COALESCE({field.name}, '{default}'::jsonb)"
    return f"COALESCE({field.name}, '{msgspec.json.decode(default)}')"


# One parameter for a whole batch: to bind, and to plan, a parameter for each value costs several
# times as much. The table's own row type says what each value is.
_INSERT: Final = f"""
    WITH changed AS (
        INSERT INTO {SESSIONS} ({COLUMNS}, holds)
        SELECT {", ".join(map(_column, msgspec.structs.fields(SessionSnapshot)))}, 0
        FROM jsonb_populate_recordset(NULL::{SESSIONS}, %s::jsonb)
        ON CONFLICT (id) DO NOTHING RETURNING id, version, status, current_step
    ), logged AS (
        INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
        SELECT id, version, 'session_imported', '[]'::jsonb,
               jsonb_build_object('source', %s::text, 'status', status, 'step', current_step),
               %s, %s
        FROM changed
    ) SELECT id FROM changed
"""


def _insert(tiers: Tiers, sessions: Iterable[SessionSnapshot], source: str) -> set[str]:
    batch = _encoder.encode([_sealed(session) for session in sessions]).decode()
    with connections[tiers.database.alias].cursor() as cursor:
        cursor.execute(_INSERT, [batch, source, f"import:{source}", tiers.clock.now()])
        return {found for (found,) in cursor.fetchall()}


def _sealed(session: SessionSnapshot) -> SessionSnapshot:
    given = ((name, getattr(session, name)) for name in SEALED)
    changes: dict[str, Any] = {name: seal(text) for name, text in given if text is not None}
    return msgspec.structs.replace(session, **changes) if changes else session


def settle_imported(
    tiers: Tiers, sessions: Iterable[SessionSnapshot], *, source: str
) -> dict[str, int]:
    """Settle what is past its end; return the versions of those alone, which are new."""
    now = tiers.clock.now()
    due = [session.id for session in sessions if session.expires_at <= now]
    if not due:
        return {}
    sweeping.expire_due(tiers, only=due, actor=f"import:{source}")
    return dict(
        tiers.database.query(f"SELECT id, version FROM {SESSIONS} WHERE id = ANY(%s)", [due])
    )


def is_taken(tiers: Tiers, session_id: str) -> bool:
    """Tell whether there is a row of this id, be it a tombstone."""
    return bool(tiers.database.query(f"SELECT 1 FROM {SESSIONS} WHERE id = %s", [session_id]))

"""Sessions from elsewhere, inserted in batches: the core's half of a backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.db import connections, transaction

from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_imported
from sessions_unified.tiers.database import Change
from sessions_unified.tiers.rows import COLUMNS, EVENTS, FIELDS, PLACEHOLDERS, SESSIONS, to_params
from sessions_unified.upkeep import sweeping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers


def import_sessions(tiers: Tiers, sessions: Sequence[SessionSnapshot], *, source: str) -> set[str]:
    """Insert the sessions whose ids are free and return those ids; existing ones stay as they are.

    One transaction: rows, an ``imported`` event each, and the receivers of `session_imported`, who
    record what was already paid. Then what is past its end is settled by the usual rule: unpaid →
    expired, paid → completed, held → untouched. A tombstone keeps its id taken.
    """
    if not sessions:
        return set()
    # A source that lists an id twice: the first counts, for the row and for the receivers alike.
    sessions = list({session.id: session for session in reversed(sessions)}.values())
    with tiers.database.transaction():
        inserted = _insert(tiers, sessions, source)
        new = [session for session in sessions if session.id in inserted]
        session_imported.send(sender=UnifiedSession, sessions=new)
        if new:
            sweeping.expire_due(tiers, only=inserted, actor=f"import:{source}")
    return inserted


def _insert(tiers: Tiers, sessions: Sequence[SessionSnapshot], source: str) -> set[str]:
    row = f"({', '.join(PLACEHOLDERS)}, 0)"
    sql = f"""
        WITH changed AS (
            INSERT INTO {SESSIONS} ({COLUMNS}, holds) VALUES {", ".join([row] * len(sessions))}
            ON CONFLICT (id) DO NOTHING RETURNING id, version, status, current_step
        ), logged AS (
            INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
            SELECT id, version, 'session_imported', '[]'::jsonb,
                   jsonb_build_object('source', %s::text, 'status', status, 'step', current_step),
                   %s, %s
            FROM changed
        ) SELECT id FROM changed
    """
    params = [value for session in sessions for value in to_params(session)]
    with connections[tiers.database.alias].cursor() as cursor:
        cursor.execute(sql, [*params, source, f"import:{source}", tiers.clock.now()])
        return {found for (found,) in cursor.fetchall()}


def replace_imported(
    tiers: Tiers, session: SessionSnapshot, *, if_version: int, source: str
) -> int | None:
    """Overwrite a session by a newer state of its source; return its version.

    None if it is no longer at ``if_version``: it has changed here too.
    """
    now = tiers.clock.now()
    after = msgspec.structs.replace(session, version=if_version + 1)
    names = tuple(name for name in FIELDS if name not in {"id", "version", "created_at"})
    change = Change(
        kind="session_reimported", actor=f"import:{source}", at=now, data={"source": source}
    )
    with tiers.database.transaction():
        if not tiers.database.compare_and_set(if_version, after, change, names):
            return None
        session_imported.send(sender=UnifiedSession, sessions=[after])
        transaction.on_commit(
            lambda: publish_gone(tiers, {session.id: after.version}), using=tiers.database.alias
        )
        sweeping.expire_due(tiers, only=[session.id], actor=f"import:{source}")
        row = tiers.database.row(session.id)
    return row.copy.session.version if row is not None else None

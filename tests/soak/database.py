"""What PostgreSQL holds at the end, read past everything that is under test."""

from __future__ import annotations

from collections import defaultdict

import psycopg

from sessions_unified.tiers.rows import EVENTS, SESSIONS
from tests.soak.ledger import Stored


def read_stored(url: str) -> dict[str, Stored]:
    """Return every session with the numbers of its events."""
    seqs: defaultdict[str, set[int]] = defaultdict(set)
    with psycopg.connect(url) as connection:
        for session, seq in connection.execute(f"SELECT session_id, seq FROM {EVENTS}"):
            seqs[session].add(seq)
        rows = connection.execute(
            f"SELECT id, version, metadata, deleted_at IS NOT NULL FROM {SESSIONS}"
        ).fetchall()
    return {
        session: Stored(
            version=version,
            metadata=metadata,
            is_deleted=is_deleted,
            seqs=frozenset(seqs[session]),
        )
        for session, version, metadata, is_deleted in rows
    }

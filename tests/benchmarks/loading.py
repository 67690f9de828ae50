"""Rows by the million: loaded by the database itself, in one statement each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from sessions_unified.tiers.rows import EVENTS, SESSIONS

if TYPE_CHECKING:
    from psycopg import Connection

_SESSIONS: Final = f"""
    INSERT INTO {SESSIONS} (id, email, status, current_step, customer, products, amount, currency,
                            upsells, metadata, version, holds, created_at, updated_at, expires_at)
    SELECT 'ws_' || lpad(to_hex(n), 8, '0') || '_' || left(md5(n::text), 25),
           'buyer' || n || '@example.org', %(status)s, 'checkout',
           '{{"firstName": "María José", "lastName": "Søndergård", "phone": "+1 (555) 010-1001",
              "address": {{"line1": "1200 South High Street", "city": "Springfield",
                           "state": "NY", "zip": "10001", "country": "US"}}}}'::jsonb,
           '[{{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 2}},
              {{"id": "LAMP", "name": "Grow Lamp", "price": 89, "quantity": 1}}]'::jsonb,
           114, 'USD', '{{}}',
           '{{"utm_source": "newsletter", "utm_campaign": "spring", "visits": 3}}'::jsonb, 1, 0,
           now() - %(age)s::interval, now() - %(age)s::interval,
           now() - %(age)s::interval + interval '24 hours'
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_EVENTS: Final = f"""
    INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
    SELECT id, 1, 'session_created', '[]', '{{}}', 'system', created_at FROM {SESSIONS}
    WHERE id > %(after)s ORDER BY id
"""
_INDEXES: Final = f"""
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
    FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
    WHERE i.indrelid = ANY(ARRAY['{SESSIONS}', '{EVENTS}']::regclass[]) AND c.oid IS NULL
      AND NOT i.indisunique
"""
PENDING_AND_DUE: Final = {"status": "pending", "age": "2 days"}
EXPIRED_LONG_AGO: Final = {"status": "expired", "age": "200 days"}
PENDING: Final = {"status": "pending", "age": "1 hour"}


def truncate(connection: Connection, *tables: str) -> None:
    """Empty the tables."""
    connection.execute(f"TRUNCATE {', '.join(tables or (SESSIONS, EVENTS))}")


def load(connection: Connection, number: int, what: dict[str, str], *, first: int = 1) -> None:
    """Load sessions numbered from ``first``, and let the database settle."""
    connection.execute(_SESSIONS, {"first": first, "last": first + number - 1, **what})
    settle(connection)


def load_events(connection: Connection, *, after: str = "") -> None:
    """Load an event of each session after that id."""
    connection.execute(_EVENTS, {"after": after})


def settle(connection: Connection) -> None:
    """Let what was loaded not cost what is measured next: statistics, hint bits, a checkpoint."""
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("CHECKPOINT")


def load_fast(connection: Connection, number: int, *, batch: int) -> None:
    """Load sessions with an event each, their secondary indexes made afterwards."""
    made = connection.execute(_INDEXES).fetchall()
    for name, _ in made:
        connection.execute(f"DROP INDEX {name}")
    for first in range(1, number + 1, batch):
        last = min(number, first + batch - 1)
        connection.execute(_SESSIONS, {"first": first, "last": last, **PENDING})
        print(f"  {last:,} of {number:,} sessions loaded", flush=True)
    load_events(connection)
    for _, definition in made:
        connection.execute(definition)
    settle(connection)


def newest(connection: Connection, number: int) -> list[str]:
    """Return the newest ids."""
    found = connection.execute(f"SELECT id FROM {SESSIONS} ORDER BY id DESC LIMIT %s", [number])
    return [key for (key,) in found]


def count(connection: Connection, condition: LiteralString) -> int:
    """Return how many sessions fulfil a condition."""
    found = connection.execute(f"SELECT count(*) FROM {SESSIONS} WHERE {condition}").fetchone()
    assert found is not None
    return int(found[0])

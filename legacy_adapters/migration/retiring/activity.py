"""Who still uses the old table: PostgreSQL's own counters over a while, and who holds it now.

A session's counters may arrive ten seconds after it has gone idle, so a watch of half a minute is
worth more than one of five seconds. A store that is read once a night shows in neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from legacy_adapters.database.store import Table

_READS: Final = ("seq_scan", "idx_scan")
_WRITES: Final = ("n_tup_ins", "n_tup_upd", "n_tup_del")
_LAST: Final = ("last_seq_scan", "last_idx_scan")
"""PostgreSQL 16 and newer."""

_COUNTERS: Final = (
    "SELECT to_jsonb(s)::text, now() FROM pg_stat_user_tables AS s WHERE relid = to_regclass(%s)"
)
_USERS: Final = (
    "SELECT a.pid, COALESCE(a.application_name, ''), COALESCE(host(a.client_addr), ''), "
    "COALESCE(a.state, 'unknown') FROM pg_stat_activity AS a "
    "WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() "
    "AND a.backend_type IS DISTINCT FROM 'autovacuum worker' AND ("
    "EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.pid = a.pid AND l.relation = to_regclass(%s)) "
    "OR (a.query_start >= %s AND strpos(a.query, %s) > 0)) ORDER BY a.pid"
)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What was seen of a table's use.

    Attributes:
        reads: scans begun meanwhile, by counter.
        writes: rows inserted, updated and deleted meanwhile, by counter.
        users: who holds the table, or has asked for it meanwhile: one line each.
        last_read_at: when it was last read; None: PostgreSQL does not say.
        is_known: the counters could be compared; not if they were reset meanwhile.

    """

    reads: dict[str, int]
    writes: dict[str, int]
    users: tuple[str, ...]
    last_read_at: str | None
    is_known: bool = True

    @property
    def is_quiet(self) -> bool:
        """Whether nobody was seen."""
        used = any(self.reads.values()) or any(self.writes.values()) or bool(self.users)
        return self.is_known and not used


def watch(table: Table, *, seconds: float, sleep: Callable[[float], object]) -> Activity:
    """Compare the table's counters before and after so many seconds. Reads no row of it.

    Raises:
        SourceUnavailableError: its database did not answer.

    """
    before, began = _counters(table)
    sleep(seconds)
    after, _ = _counters(table)
    changes = {name: after.get(name, 0) - before.get(name, 0) for name in (*_READS, *_WRITES)}
    last = max((str(after[name]) for name in _LAST if after.get(name)), default=None)
    return Activity(
        reads={name: changes[name] for name in _READS},
        writes={name: changes[name] for name in _WRITES},
        users=_users(table, began),
        last_read_at=last,
        is_known=bool(before) and bool(after) and min(changes.values()) >= 0,
    )


def _counters(table: Table) -> tuple[dict[str, Any], datetime | None]:
    # A transaction sees its first look for ever, if nobody says otherwise.
    table.fetch("SELECT pg_stat_clear_snapshot()")
    found = table.fetch(_COUNTERS, [table.quoted])
    if not found:
        return {}, None
    read: dict[str, Any] = json.loads(found[0][0])
    return {name: value for name, value in read.items() if value is not None}, found[0][1]


def _users(table: Table, began: datetime | None) -> tuple[str, ...]:
    name = table.name.rpartition(".")[2]
    found = table.fetch(_USERS, [table.quoted, began, name])
    return tuple(
        f"{application or 'no name'} (process {pid}{f' at {host}' if host else ''}): {state}"
        for pid, application, host, state in found
    )

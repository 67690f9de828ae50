"""Reading the whole event log in commit-safe order, and remembering how far a reader has come.

Positions are given when a row is written, not when it is committed: a reader by ``position`` alone
would pass over a transaction that commits late. So the order is (xid, position), and nothing is
read from the oldest running transaction on (``pg_snapshot_xmin``): below it nothing can appear any
more.
"""

# ruff: noqa: S608  (our own table names; every value is a parameter)

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from django.db import InterfaceError, OperationalError, connections

from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import DatabaseUnavailableError, SessionsUnifiedError
from sessions_unified.models import LogCursor
from sessions_unified.tiers.rows import EVENTS

if TYPE_CHECKING:
    from datetime import datetime

COUNT_LIMIT: Final = 10_000
"""`lag` counts no further."""

_CURSORS: Final = LogCursor._meta.db_table  # noqa: SLF001  (Django's documented Model._meta)

_decode = msgspec.json.Decoder().decode


class Place(NamedTuple):
    """A place in the log; all that it is compared with is before or after it."""

    xid: int
    position: int


BEGINNING: Final = Place(0, 0)


class Entry(NamedTuple):
    """One event, as `SessionEvent` describes it."""

    place: Place
    session_id: str
    seq: int
    kind: str
    changed: list[str]
    data: dict[str, Any]
    actor: str
    at: datetime


class Lag(NamedTuple):
    """How far a consumer is behind.

    ``seconds`` is the age of the oldest event that it hasn't handled, 0 if there is none;
    ``events`` says how many there are, `COUNT_LIMIT` at most.
    """

    seconds: float
    events: int


class Holder(NamedTuple):
    """A running transaction that nobody can read past.

    ``pid`` is None for a prepared transaction, whose ``name`` is its identifier; otherwise that is
    the application's.
    """

    pid: int | None
    seconds: float
    name: str


def read_after(place: Place, limit: int) -> list[Entry]:
    """Return the next events in order, ``limit`` at most.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    found = _fetch(
        "SELECT e.xid::text::bigint, position, session_id, seq, kind, changed::text, data::text, "
        f"actor, at FROM {EVENTS} AS e WHERE (e.xid, position) > (%s::xid8, %s) "
        # e.xid, not xid: that is the number above, which no index has.
        "AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, position LIMIT %s",
        [str(place.xid), place.position, limit],
    )
    return [
        Entry(Place(xid, position), session_id, seq, kind, _decode(changed), _decode(data), *rest)
        for xid, position, session_id, seq, kind, changed, data, *rest in found
    ]


def place_at(moment: datetime) -> Place:
    """Return a place before which every event is from before ``moment``.

    It looks back from the end, so it is quick for recent moments.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    found = _fetch(
        f"SELECT e.xid::text::bigint, position FROM {EVENTS} AS e WHERE at < %s "
        "AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) "
        "ORDER BY e.xid DESC, position DESC LIMIT 1",
        [moment],
    )
    return Place(*found[0]) if found else BEGINNING


def check_order(place: Place) -> None:
    """Refuse a place that this database server cannot have come to yet.

    Raises:
        SessionsUnifiedError: the log comes from another server, by dump and restore: new events
            would sort before the old ones, and never be read.
        DatabaseUnavailableError: the database did not answer.

    """
    ((is_ahead,),) = _fetch(
        "SELECT %s::xid8 >= pg_snapshot_xmax(pg_current_snapshot())", [str(place.xid)]
    )
    if is_ahead:
        raise SessionsUnifiedError(
            "The event log's transaction ids are ahead of this database server's: it was restored "
            "from a dump. Put it in order before anything else is written: see “After a restore” "
            "in docs/explanation/relay.md."
        )


def lag(consumer: str) -> Lag:
    """Return how far ``consumer`` is behind; events that are held back count too.

    For one that never ran, that is the whole log.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    ((oldest, events),) = _fetch(
        f"SELECT min(at), count(*) FROM (SELECT at FROM {EVENTS} WHERE (xid, position) > ("
        f"COALESCE((SELECT xid FROM {_CURSORS} WHERE consumer = %s), '0'), "
        f"COALESCE((SELECT position FROM {_CURSORS} WHERE consumer = %s), 0)) "
        "ORDER BY xid, position LIMIT %s) AS unhandled",
        [consumer, consumer, COUNT_LIMIT],
    )
    if oldest is None:
        return Lag(0.0, 0)
    return Lag(max(0.0, (get_clock().now() - oldest).total_seconds()), events)


def held_back_by() -> Holder | None:
    """Return the oldest other transaction that has written and not ended; None: there is none.

    It may be in any database of the server. Of other users' transactions PostgreSQL tells only
    members of ``pg_read_all_stats``.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    found = _fetch(
        "SELECT pid, EXTRACT(EPOCH FROM clock_timestamp() - began)::float8, name FROM ("
        "SELECT pid, backend_xid AS xid, xact_start AS began, application_name AS name "
        "FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
        "UNION ALL SELECT NULL, transaction, prepared, gid FROM pg_prepared_xacts"
        ") AS writing ORDER BY age(xid) DESC LIMIT 1",
        [],
    )
    return Holder(*found[0]) if found else None


def _fetch(sql: str, params: list[Any]) -> list[Any]:
    try:
        with connections[get_conf().DATABASE_ALIAS].cursor() as cursor:
            cursor.execute(sql, params)
            answer: list[Any] = cursor.fetchall()
            return answer
    except (OperationalError, InterfaceError) as exc:
        raise DatabaseUnavailableError from exc

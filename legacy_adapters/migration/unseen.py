"""Stores that the server cannot list: which sessions were met there, and what is still unseen.

Nobody can tell what a browser holds until it comes. So what was met is noted, and what was not is
counted, until the store's longest life has passed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import Error as DatabaseError

from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import history
from legacy_adapters.migration.use import is_migrating
from legacy_adapters.models import StoreSighting
from legacy_adapters.tables import rows
from sessions_unified.exceptions import SessionsUnifiedError
from sessions_unified.tiers.rows import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

_DAY_SECONDS: Final = 24 * 3600
_REMEMBERED: Final = 20_000
_SPARE: Final = timedelta(days=30)

_NOTE: Final = (
    "INSERT INTO legacy_adapters_storesighting (source, session_id, seen_at) VALUES (%s, %s, %s) "
    "ON CONFLICT (session_id, source) DO NOTHING RETURNING 1"
)
_UNSEEN: Final = (
    f"SELECT count(*) FROM {SESSIONS} AS s "  # noqa: S608  (our own tables; values are parameters)
    "WHERE s.deleted_at IS NULL AND s.status NOT IN ('completed', 'expired') "
    "AND s.expires_at > %s AND s.updated_at > %s "
    "AND (%s::timestamptz IS NULL OR s.created_at < %s) "
    "AND NOT EXISTS (SELECT 1 FROM legacy_adapters_storesighting AS seen "
    "WHERE seen.session_id = s.id AND seen.source = %s)"
)


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What is unseen of a store that the server cannot list.

    Attributes:
        source: the store.
        sessions: living sessions of which it may hold a copy that was not met.
        life: how long a session lives in it.
        retire_at: from when on it holds nothing; None: its time has not begun.

    """

    source: str
    sessions: int
    life: timedelta
    retire_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """Return it as commands say it."""
        at = None if self.retire_at is None else self.retire_at.isoformat()
        return {"source": self.source, "sessions": self.sessions, "retire_at": at}


def unlisted() -> dict[str, timedelta]:
    """Return the stores that the server cannot list → how long a session lives in each."""
    lives = get_conf().UNLISTED_LIFE_SECONDS
    return {
        name: timedelta(seconds=lives.get(name, _DAY_SECONDS))
        for name in get_sources()
        if not get_adapter(name).supports_scan
    }


def unseen(tiers: Tiers) -> list[Unseen]:
    """Return what is unseen of each store that the server cannot list.

    A copy is dead when the store's life has passed since the session was changed last; and what
    began when our own database came first already, no such store can know better.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    since, now = history.reached_by_all(Stage.LIVE), tiers.clock.now()
    found = []
    for source, life in unlisted().items():
        ((sessions,),) = tiers.database.query(_UNSEEN, [now, now - life, since, since, source])
        at = None if since is None else since + life
        found.append(Unseen(source=source, sessions=sessions, life=life, retire_at=at))
    return found


def forget_old(now: datetime) -> int:
    """Delete the sightings whose store cannot hold the session any more; return how many."""
    longest = max(unlisted().values(), default=timedelta())
    return rows(StoreSighting).filter(seen_at__lt=now - 2 * longest - _SPARE).delete()[0]


class _Noted:
    """What this process has noted lately, so that it is noted once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, source: str, session_id: str) -> bool:
        """Remember it; tell whether it is new."""
        key = (source, session_id)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return False
            self._known[key] = None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return True

    def has(self, source: str, session_id: str) -> bool:
        """Tell whether it is remembered."""
        return (source, session_id) in self._known

    def drop(self, source: str, session_id: str) -> None:
        """Forget it again: it could not be noted."""
        with self._lock:
            self._known.pop((source, session_id), None)

    def clear(self) -> None:
        """Forget everything: after fork, where a thread may have held the lock; between tests."""
        self.__init__()  # type: ignore[misc]


NOTED: Final = _Noted()
os.register_at_fork(after_in_child=NOTED.clear)


def note_brought(tiers: Tiers, adapters: Iterable[LegacyAdapter], session_id: str) -> None:
    """Note a session that was met in those of a request's stores which say something of it.

    Each is read once a process and session. Never raises.
    """
    if not is_migrating():
        return
    for adapter in adapters:
        if not NOTED.has(adapter.source, session_id) and adapter.peek(session_id) is not None:
            note_seen(tiers, adapter.source, session_id)


def note_seen(tiers: Tiers, source: str, session_id: str) -> None:
    """Note that a session was met in a store that the server cannot list. Never raises.

    Only while the shop is being moved.
    """
    if not is_migrating() or not NOTED.add(source, session_id):
        return
    try:
        if not STAGES.view(tiers).is_complete:
            tiers.database.fetch(_NOTE, [source, session_id, tiers.clock.now()])
    except (SessionsUnifiedError, DatabaseError) as exc:
        NOTED.drop(source, session_id)
        logger.info("A sighting of %s was not noted: %s", session_id, type(exc).__name__)

"""Touches: coalesced here and in Redis, flushed to ``last_seen_at`` in batches by a worker.

Rule 6 of `manager`. A touch only raises a time, so repeats, reorderings and a flush that dies
half-way are harmless. A process writes a session's touch once in ``TOUCH_RESOLUTION_SECONDS``, so
an idle limit may end that much early; losing Redis costs one flush interval more.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db import connections

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.ids import is_session_id
from sessions_unified.metrics import TOUCHES, TOUCHES_FLUSHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.tiers import Tiers
    from sessions_unified.tiers.database import DatabaseTier
    from sessions_unified.tiers.redis import RedisTier

# Remove a flushed touch unless a later one has come meanwhile; return how many are removed.
# ARGV: id, score, id, score, …
_FORGET_FLUSHED: Final = """
local removed = 0
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) <= tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return removed
"""

_MOST_REMEMBERED: Final = 10_000
_LOCK_TIMEOUT_MS: Final = 1000


class _Written:
    """The touches that this process has written lately, so that it need not write them again."""

    def __init__(self) -> None:
        self._seen: dict[str, datetime] = {}  # oldest first
        self._lock = threading.Lock()
        self._in_redis = False

    def covers(self, session_id: str, seen_at: datetime) -> bool:
        """Whether a touch within the resolution is written already."""
        written = self._seen.get(session_id)
        resolution = timedelta(seconds=get_conf().TOUCH_RESOLUTION_SECONDS)
        return written is not None and seen_at < written + resolution

    def note(self, session_id: str, seen_at: datetime, *, in_redis: bool) -> None:
        """Remember that it is written; what was not seen for longest is forgotten first."""
        with self._lock:
            self._in_redis = self._in_redis or in_redis
            self._seen.pop(session_id, None)
            self._seen[session_id] = seen_at
            if len(self._seen) > _MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]

    def redis_failed(self) -> None:
        """Forget what was written to Redis: it may come back empty."""
        with self._lock:
            if self._in_redis:
                self._in_redis = False
                self._seen.clear()


_written: WeakKeyDictionary[DatabaseTier, _Written] = WeakKeyDictionary()
# A child's locks are its own: the parent's may be held by a thread that the child does not have.
os.register_at_fork(after_in_child=_written.clear)


def _written_by(tiers: Tiers) -> _Written:
    found = _written.get(tiers.database)
    return found if found is not None else _written.setdefault(tiers.database, _Written())


def _key() -> str:
    return f"{get_conf().KEY_PREFIX}:touches"


def touch(tiers: Tiers, session_id: str, seen_at: datetime) -> None:
    """Note that the session's shopper was seen; without Redis, in the database at once."""
    if not is_session_id(session_id):
        return  # nobody's; the flush could not write it
    written = _written_by(tiers)
    if written.covers(session_id, seen_at):
        TOUCHES.labels("coalesced").inc()
        return
    in_redis = _add_pending(tiers, session_id, seen_at)
    if not in_redis:
        written.redis_failed()
        tiers.database.raise_last_seen({session_id: seen_at})
    written.note(session_id, seen_at, in_redis=in_redis)
    TOUCHES.labels("pending" if in_redis else "direct").inc()


def _add_pending(tiers: Tiers, session_id: str, seen_at: datetime) -> bool:
    if tiers.redis is None:
        return False
    score = seen_at.timestamp()
    try:
        tiers.redis.command("ZADD", _key(), "GT", repr(score), session_id)
    except TierUnavailableError:
        return False
    return True


def pending_touch(tiers: Tiers, session_id: str) -> datetime | None:
    """Return the touch that is not flushed yet; None: there is none.

    Raises:
        TierUnavailableError: nobody can tell. A session that one might keep alive must not be
            settled then: that cannot be undone.

    """
    if tiers.redis is None:
        return None
    score = tiers.redis.command("ZSCORE", _key(), session_id)
    return None if score is None else datetime.fromtimestamp(float(score), UTC)


def last_seen(tiers: Tiers, session_id: str, stored: datetime | None) -> datetime | None:
    """Return the later of ``stored`` (the row's ``last_seen_at``) and the pending touch.

    Raises:
        TierUnavailableError: as `pending_touch`.

    """
    seen = (stored, pending_touch(tiers, session_id))
    return max((moment for moment in seen if moment is not None), default=None)


def flush_touches(tiers: Tiers, *, batch_size: int = 1000) -> int:
    """Write the touches pending by now to the database; return how many.

    The rows first, then Redis forgets exactly what was written: a flush that dies in between is
    repeated by the next, and two at once count each touch once. A batch that the database refuses
    stays pending, and the others go on.

    Raises:
        TierUnavailableError: Redis or the database did not answer; nothing is lost.

    """
    redis = tiers.redis
    if redis is None:
        return 0
    until = tiers.clock.now()
    flushed, skipped = 0, 0
    failure: TierUnavailableError | None = None
    while batch := _pending_batch(redis, until, skipped, batch_size):
        try:
            _write(tiers, batch)
        except TierUnavailableError as exc:
            failure = exc
            skipped += len(batch)
        else:
            flushed += _forget(redis, batch)
        if len(batch) < batch_size:
            break
    TOUCHES_FLUSHED.inc(flushed)
    if failure is not None:
        raise failure
    return flushed


def _write(tiers: Tiers, batch: Mapping[str, float]) -> None:
    # By id, so that two flushes lock rows in one order. A shopper's transaction that hangs keeps
    # its own batch from being written, not all that come after.
    seen = {key: datetime.fromtimestamp(score, UTC) for key, score in sorted(batch.items())}
    with tiers.database.transaction():
        with connections[tiers.database.alias].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_MS}ms'")
        tiers.database.raise_last_seen(seen)


def _pending_batch(redis: RedisTier, until: datetime, offset: int, size: int) -> dict[str, float]:
    batch: Any = redis.call(
        lambda client: client.zrangebyscore(
            _key(), "-inf", until.timestamp(), start=offset, num=size, withscores=True
        )
    )
    return {member.decode(): score for member, score in batch}


def _forget(redis: RedisTier, batch: Mapping[str, float]) -> int:
    # repr keeps every digit of the score, so that what is forgotten is what was written.
    args = [part for member, score in batch.items() for part in (member, repr(score))]
    return int(redis.run_script(_FORGET_FLUSHED, _key(), *args))

"""Touches: coalesced in Redis, flushed to ``last_seen_at`` in batches by a worker.

Rule 6 of `manager`. A touch only raises a time, so repeats, reorderings and a flush that dies
half-way are harmless; losing Redis costs at most one flush interval.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers

# Remove a flushed touch unless a later one has come meanwhile. ARGV: id, score, id, score, …
_FORGET_FLUSHED: Final = """
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) <= tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 1
"""


def _key() -> str:
    return f"{get_conf().KEY_PREFIX}:touches"


def touch(tiers: Tiers, session_id: str, seen_at: datetime) -> None:
    """Note that the session's shopper was seen; without Redis, in the database at once."""
    if tiers.redis is not None:
        try:
            score = seen_at.timestamp()
            tiers.redis.call(lambda client: client.zadd(_key(), {session_id: score}, gt=True))
        except TierUnavailableError:
            pass
        else:
            return
    tiers.database.raise_last_seen({session_id: seen_at})


def pending_touch(tiers: Tiers, session_id: str) -> datetime | None:
    """Return the touch that is not flushed yet, if Redis answers and has one."""
    if tiers.redis is None:
        return None
    try:
        score = tiers.redis.call(lambda client: client.zscore(_key(), session_id))
    except TierUnavailableError:
        return None
    return None if score is None else datetime.fromtimestamp(score, UTC)


def last_seen(tiers: Tiers, session_id: str, stored: datetime | None) -> datetime | None:
    """Return the later of ``stored`` (the row's ``last_seen_at``) and the pending touch."""
    seen = (stored, pending_touch(tiers, session_id))
    return max((moment for moment in seen if moment is not None), default=None)


def flush_touches(tiers: Tiers, *, batch_size: int = 1000) -> int:
    """Write the pending touches to the database; return how many.

    The rows first, then Redis forgets exactly what was written: a flush that dies in between is
    repeated by the next.

    Raises:
        TierUnavailableError: Redis or the database did not answer; nothing is lost.

    """
    if tiers.redis is None:
        return 0
    redis = tiers.redis
    flushed = 0
    while True:
        batch: Any = redis.call(
            lambda client: client.zrange(_key(), 0, batch_size - 1, withscores=True)
        )
        if not batch:
            return flushed
        scores = {member.decode(): score for member, score in batch}
        tiers.database.raise_last_seen(
            {member: datetime.fromtimestamp(score, UTC) for member, score in scores.items()}
        )
        # repr keeps every digit of the score, so that what is forgotten is what was written.
        args = [part for member, score in scores.items() for part in (member, repr(score))]
        redis.run_script(_FORGET_FLUSHED, _key(), *args)
        flushed += len(scores)
        if len(scores) < batch_size:
            return flushed

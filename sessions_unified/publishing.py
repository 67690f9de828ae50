"""After a commit: tell the caches. What fails here the relay mends from the event log.

Redis first: a reader that fills L1 in between may have found Redis' older copy, and L1's turn then
ends that too. So whoever has written reads their own write.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sessions_unified import metrics
from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.tiers import Copy, Tiers

logger = logging.getLogger(__name__)

_sent = metrics.PUTS.labels("sent")
_lost = metrics.PUTS.labels("lost")


def publish_copy(tiers: Tiers, copy: Copy) -> bool:
    """Put a committed copy into the caches; return whether all of them took notice."""
    try:
        if tiers.redis is not None:
            tiers.redis.put(copy)
    except TierUnavailableError as exc:
        logger.warning("A put to Redis was lost: %s", exc)
        _lost.inc()
        return False
    finally:
        if tiers.memory is not None:
            tiers.memory.put(copy)
    _sent.inc()
    return True


def publish_gone(tiers: Tiers, versions: Mapping[str, int]) -> bool:
    """Drop sessions (id → version) from the caches; return whether all of them took notice."""
    try:
        if tiers.redis is not None and versions:
            tiers.redis.delete_many(versions)
    except TierUnavailableError as exc:
        logger.warning("Redis could not be told of %d changes: %s", len(versions), exc)
        _lost.inc(len(versions))
        return False
    finally:
        if tiers.memory is not None:
            for session_id, version in versions.items():
                tiers.memory.delete(session_id, version)
    _sent.inc(len(versions))
    return True

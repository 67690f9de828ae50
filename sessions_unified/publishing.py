"""After a commit: tell the caches. Whatever fails here is repaired by the bound on age."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.tiers import Copy, Tiers

logger = logging.getLogger(__name__)


def publish_copy(tiers: Tiers, copy: Copy) -> bool:
    """Put a committed copy into the caches; return whether all of them took notice."""
    if tiers.memory is not None:
        tiers.memory.put(copy)
    if tiers.redis is None:
        return True
    try:
        tiers.redis.put(copy)
    except TierUnavailableError as exc:
        logger.warning("A put to Redis was lost: %s", exc)
        return False
    return True


def publish_gone(tiers: Tiers, versions: Mapping[str, int]) -> bool:
    """Drop sessions (id → version) from the caches; return whether all of them took notice."""
    for session_id, version in versions.items():
        if tiers.memory is not None:
            tiers.memory.delete(session_id, version)
    if tiers.redis is None or not versions:
        return True
    try:
        tiers.redis.delete_many(versions)
    except TierUnavailableError as exc:
        logger.warning("Redis could not be told of %d changes: %s", len(versions), exc)
        return False
    return True

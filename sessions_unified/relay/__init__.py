"""The one reader of the event log: it hands every event, in order, to each consumer.

At least once, so that handling an event twice must be harmless. The caches are the first consumer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessions_unified.relay.base import Consumer
from sessions_unified.relay.caches import CacheConsumer
from sessions_unified.relay.following import Follower, Relay

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers

__all__ = ["CacheConsumer", "Consumer", "Follower", "Relay", "consumers_of"]


def consumers_of(tiers: Tiers) -> list[Consumer]:
    """Return the consumers that this site has."""
    return [] if tiers.redis is None else [CacheConsumer(tiers.redis)]

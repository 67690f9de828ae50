"""The one reader of the event log: it hands every event, in order, to each consumer.

At least once, so that handling an event twice must be harmless. The caches are the first consumer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf
from sessions_unified.relay.base import Consumer
from sessions_unified.relay.caches import CacheConsumer
from sessions_unified.relay.following import Follower, Relay

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers

__all__ = ["CacheConsumer", "Consumer", "Follower", "Relay", "consumers_of"]


def consumers_of(tiers: Tiers) -> list[Consumer]:
    """Return the consumers that this site has: the caches, and those of ``CONSUMERS``."""
    caches: list[Consumer] = [] if tiers.redis is None else [CacheConsumer(tiers.redis)]
    return caches + [import_string(path)() for path in get_conf().CONSUMERS]

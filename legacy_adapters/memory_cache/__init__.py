"""The old shop's cache in the memory of one process, or any mapping in its stead."""

from legacy_adapters.memory_cache.adapter import MemoryCacheAdapter
from legacy_adapters.memory_cache.store import SESSIONS, BoundedSessionMap

__all__ = ["SESSIONS", "BoundedSessionMap", "MemoryCacheAdapter"]

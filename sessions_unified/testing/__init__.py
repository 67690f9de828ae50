"""Twins for tests: a clock that stands still, and a tier in a plain dict."""

from sessions_unified.testing.clock import FrozenClock
from sessions_unified.testing.tier import InMemoryTier

__all__ = ["FrozenClock", "InMemoryTier"]

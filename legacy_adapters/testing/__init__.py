"""Twins of the adapters' roles for tests, of this project and of sites that use it."""

from legacy_adapters.testing.adapter import InMemoryAdapter

__all__ = ["InMemoryAdapter"]

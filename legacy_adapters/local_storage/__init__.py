"""The old shop's sessions in a browser: the key ``webseed_funnel_sessions`` of its localStorage."""

from legacy_adapters.local_storage.adapter import LocalStorageAdapter

__all__ = ["LocalStorageAdapter"]

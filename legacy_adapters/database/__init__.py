"""The legacy table ``funnel_sessions`` in PostgreSQL."""

from legacy_adapters.database.adapter import DatabaseAdapter

__all__ = ["DatabaseAdapter"]

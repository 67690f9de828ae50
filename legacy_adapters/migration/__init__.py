"""Moving a live shop: stages with one authority a session, and the way back at each.

``SESSIONS_UNIFIED["MANAGER"]`` names ``legacy_adapters.migration.MigratingSessionManager``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legacy_adapters.migration.manager import MigratingSessionManager

__all__ = ["MigratingSessionManager"]


def __getattr__(name: str) -> Any:
    """Import the manager when it is asked for: models, which it needs, import names from here."""
    if name != "MigratingSessionManager":
        raise AttributeError(name)
    from legacy_adapters.migration.manager import MigratingSessionManager  # noqa: PLC0415

    return MigratingSessionManager

"""One normalized funnel session behind one manager with three tiers.

``get_manager`` is the front door; everything else is reached through what it returns.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sessions_unified.manager import UnifiedSessionManager

__all__ = ["get_manager"]


def get_manager(
    endpoint: str = "default", request: HttpRequest | None = None
) -> UnifiedSessionManager:
    """Return the manager that ``SESSIONS_UNIFIED["MANAGER"]`` names, bound to one caller.

    Args:
        endpoint: the endpoint's name (``session.detail``, ``checkout.process``, …). The plain
            manager ignores it; a migrating one follows that endpoint's stage.
        request: the HTTP request served, if any: the actor of events is read from it.

    """
    from sessions_unified.conf import get_conf  # noqa: PLC0415  (apps load first)

    return _manager_class(get_conf().MANAGER)(endpoint=endpoint, request=request)


@cache
def _manager_class(path: str) -> type[UnifiedSessionManager]:
    from django.utils.module_loading import import_string  # noqa: PLC0415

    manager: type[UnifiedSessionManager] = import_string(path)
    return manager

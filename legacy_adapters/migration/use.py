"""Whether the site moves at all, and which of its stores are still written."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from django.utils.module_loading import import_string

from legacy_adapters.migration.routes import ROUTES
from legacy_adapters.migration.stages.names import Endpoint
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.view import StageView
    from legacy_adapters.stores import Store

_MANAGER: Final = "legacy_adapters.migration.MigratingSessionManager"


def is_migrating() -> bool:
    """Tell whether ``SESSIONS_UNIFIED["MANAGER"]`` follows the stages."""
    return _follows_stages(get_conf().MANAGER)


@cache
def _follows_stages(path: str) -> bool:
    if path == _MANAGER:
        return True
    try:
        manager = import_string(path)
    except ImportError:  # a check says so, and whoever makes a manager
        return False
    return isinstance(manager, type) and issubclass(manager, import_string(_MANAGER))


def is_written(kind: Store, session_id: str, view: StageView) -> bool:
    """Tell whether any endpoint still writes a kind of store for a session."""
    return any(
        kind in ROUTES[each].writes and view.stage_of(each, session_id).writes_legacy
        for each in Endpoint
    )

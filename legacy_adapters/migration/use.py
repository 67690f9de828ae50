"""Whether the site is being moved, and which of its stores are still written."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from legacy_adapters.migration.sides.routes import ROUTES
from legacy_adapters.migration.stages.names import Endpoint
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.view import StageView
    from legacy_adapters.stores import Store

_MANAGER: Final = "legacy_adapters.migration.manager"


def is_migrating() -> bool:
    """Tell whether the site's manager follows the stages; not of settings that make no sense."""
    try:
        path = get_conf().MANAGER
    except (ImproperlyConfigured, TypeError):  # the core's checks say so
        return False
    return _follows_stages(path)


@cache
def _follows_stages(path: str) -> bool:
    """Tell by the modules of its classes: a site that does not migrate imports nothing for this."""
    try:
        manager = import_string(path)
    except ImportError:
        return False  # the checks say so
    return any(each.__module__ == _MANAGER for each in getattr(manager, "__mro__", ()))


def is_written(kind: Store, session_id: str, view: StageView) -> bool:
    """Tell whether any endpoint still writes a kind of store for a session."""
    return any(
        kind in ROUTES[each].writes and view.stage_of(each, session_id).writes_legacy
        for each in Endpoint
    )

"""The stages as one request has seen them: a session keeps its side within it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.stages.cache import STAGES

if TYPE_CHECKING:
    from django.http import HttpRequest

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers

_VIEW: Final = "_legacy_stages"


def seen_stages(tiers: Tiers, request: HttpRequest | None) -> StageView:
    """Return the stages that a request has seen first; without one, those that the process knows.

    Raises:
        DatabaseUnavailableError: the process has never seen any.

    """
    found: StageView | None = getattr(request, _VIEW, None)
    return found or pin_stages(request, STAGES.view(tiers))


def pin_stages(request: HttpRequest | None, view: StageView) -> StageView:
    """Have a request go on by these stages."""
    if request is not None:
        setattr(request, _VIEW, view)
    return view

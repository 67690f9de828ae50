"""The page of an order that is over: why, and the same products once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from funnel.storefront.ordering import preview
from funnel.storefront.orders import no_longer_sold, quantities
from funnel.storefront.pages import show

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot


def ending_page(
    request: HttpRequest, manager: UnifiedSessionManager, session: SessionSnapshot
) -> HttpResponse:
    """Return the page. Its form carries the products, so it works without the session's cookie."""
    wanted = quantities(session.products)
    context = {
        "session": session,
        "order": preview(wanted),
        "wanted": wanted,
        "gone": no_longer_sold(session.products),
        "action": reverse("storefront:start"),
    }
    return show(request, "start_again", context, manager=manager)

"""One-time links: an imported shopper's way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.http import HttpResponse

from funnel.storefront.endings import ending_page
from funnel.storefront.pages import show
from funnel.storefront.visits import manager_for, open_visit, visit_session
from sessions_unified.conf import get_conf
from sessions_unified.cookies import issue_cookie
from sessions_unified.exceptions import InvalidLinkError
from sessions_unified.links import redeem_link

if TYPE_CHECKING:
    from django.http import HttpRequest

    from funnel.storefront.visits import Visit

_GONE: Final = 410
_UNAVAILABLE: Final = 503
_PREFETCH_HEADERS: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


def follow(request: HttpRequest, secret: str) -> HttpResponse:
    """Give the browser its session, once; merely looking at the link does not use it up."""
    if request.method == "HEAD":
        return HttpResponse()
    if any("prefetch" in request.headers.get(name, "").lower() for name in _PREFETCH_HEADERS):
        # Not a success, so that the browser asks again when the shopper really goes there.
        return HttpResponse(status=_UNAVAILABLE)
    try:
        visit = _redeem(request, secret)
    except InvalidLinkError:
        return _used(request)
    if visit.session is None:
        return _used(request)
    if visit.has_ended:
        # A token of a session long over would be over too: the page does without one.
        return ending_page(request, visit.manager, visit.session)
    response = visit.redirect()
    issue_cookie(response, visit.session)
    return response


def _redeem(request: HttpRequest, secret: str) -> Visit:
    """Use the link up and visit its session, together or not at all.

    A link to a session that has ended opens nothing, so it is not used up either.
    """
    manager, alias = manager_for(request, "session.detail"), get_conf().DATABASE_ALIAS
    with transaction.atomic(using=alias):
        visit = visit_session(manager, redeem_link(secret))
        if visit.has_ended:
            transaction.set_rollback(True, using=alias)
    return visit


def _used(request: HttpRequest) -> HttpResponse:
    """Say that the link opens nothing; a browser that has an order may go on with it."""
    visit = open_visit(request)
    url = None if visit.session is None else visit.url
    return show(request, "link_used", {"url": url}, manager=visit.manager, status=_GONE)

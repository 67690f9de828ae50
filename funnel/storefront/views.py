"""The shop's pages: translate, one use case, redirect to the page that is the shopper's now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.views.decorators.http import require_http_methods, require_safe

from funnel import flow
from funnel.storefront import checkout as paying
from funnel.storefront import extras, links, ordering, orders, waiting
from funnel.storefront.banners import banner_of
from funnel.storefront.endings import ending_page
from funnel.storefront.forms import CheckoutForm, OrderForm, initial_of
from funnel.storefront.keys import new_key
from funnel.storefront.pages import DATABASE_ERRORS, page, show
from funnel.storefront.receipts import receipt_of
from funnel.storefront.visits import Visit, manager_for, open_visit, see_other
from sessions_unified.cookies import issue_cookie
from sessions_unified.exceptions import PricingError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_CHECKOUT: Final = "/checkout"
_UNPROCESSABLE: Final = 422


@page
@require_safe
def shop(request: HttpRequest) -> HttpResponse:
    """Show what there is to buy; the catalogue needs no database."""
    try:
        visit = open_visit(request)
    except DATABASE_ERRORS:
        visit = Visit(manager=manager_for(request, "session.detail"))
    session = visit.session
    chosen = orders.quantities(session.products) if session and _is_open(visit) else {}
    return _shop_page(request, visit, OrderForm(initial=chosen))


def _is_open(visit: Visit) -> bool:
    """Tell whether the visit has an order that is not paid yet and may still change."""
    session = visit.session
    return session is not None and not visit.has_ended and ordering.can_change(session)


def _shop_page(
    request: HttpRequest, visit: Visit, form: OrderForm, *, status: int = 200
) -> HttpResponse:
    banner = banner_of(visit)
    context = {"form": form, "banner": banner, "is_open": _is_open(visit)}
    return show(request, "shop", context, manager=visit.manager, status=status)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """Start an order with the chosen products, or change the one that is not paid yet."""
    if request.method != "POST":
        return see_other("/")
    visit = open_visit(request, "session.create")
    if visit.session is not None and not _is_replaceable(visit):
        return visit.redirect()
    form = OrderForm(request.POST)
    if not form.is_valid():
        return _shop_page(request, visit, form, status=_UNPROCESSABLE)
    try:
        return _order(request, visit, form.wanted)
    except PricingError as exc:
        form.add_error(None, str(exc))
        return _shop_page(request, visit, form, status=_UNPROCESSABLE)


def _is_replaceable(visit: Visit) -> bool:
    """Tell whether a new order may take the place of the visit's: it has ended, or may change."""
    return _is_open(visit) or visit.url in {flow.START_AGAIN, "/success"}


def _order(request: HttpRequest, visit: Visit, wanted: dict[str, int]) -> HttpResponse:
    if visit.session is not None and _is_open(visit):
        session = ordering.change(visit.manager, visit.session, wanted)
        response = see_other(flow.next_for(session).url)
    else:
        session = ordering.start(visit.manager, wanted)
        response = see_other(_CHECKOUT)
    issue_cookie(response, session)
    return response


@page
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest) -> HttpResponse:
    """Show the checkout; POST pays, or chooses an order bump."""
    visit = open_visit(request, paying.ENDPOINT)
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    if request.method == "POST" and "bump" in request.POST:
        return paying.choose_bump(request, visit, session)
    if request.method == "POST":
        return paying.pay(request, visit, session)
    form = CheckoutForm(initial=initial_of(session))
    return paying.checkout_page(request, visit, session, form, key=new_key())


@page
@require_safe
def processing(request: HttpRequest) -> HttpResponse:
    """Wait with the shopper for a payment's outcome."""
    visit = open_visit(request)
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    state = waiting.waiting_at(session.id, "processing") or waiting.UNEXPLAINED
    context = {"waiting": state, "name": "", "order": orders.order_of(session)}
    refresh = state.refresh_seconds
    return show(request, "processing", context, manager=visit.manager, refresh_seconds=refresh)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def upsell(request: HttpRequest) -> HttpResponse:
    """Show the offers of a step; POST answers them."""
    visit = open_visit(request, extras.ENDPOINT)
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    if request.method == "POST":
        return extras.answer(request, visit, session)
    return extras.extras_page(request, visit, session)


@page
@require_safe
def success(request: HttpRequest) -> HttpResponse:
    """Show the receipt."""
    visit = open_visit(request)
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    context = {
        "receipt": receipt_of(session),
        "email": session.email,
        "is_paid": session.is_paid,
    }
    return show(request, "success", context, manager=visit.manager)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def start_again(request: HttpRequest) -> HttpResponse:
    """Say that the session is over; POST starts a new one with the same products."""
    visit = open_visit(request, "session.create")
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    wanted = orders.quantities(session.products)
    if request.method == "POST" and ordering.preview(wanted) is not None:
        return _order(request, visit, wanted)
    return ending_page(request, visit.manager, session)


@page
@require_safe
def link(request: HttpRequest, secret: str) -> HttpResponse:
    """Follow a one-time link."""
    response = links.follow(request, secret)
    response["Referrer-Policy"] = "no-referrer"
    return response

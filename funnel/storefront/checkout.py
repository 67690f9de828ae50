"""The checkout's page, and what becomes of pressing Pay."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from funnel import exceptions as errors
from funnel.checkout import process_checkout
from funnel.payments.gateway import get_gateway
from funnel.storefront.forms import CheckoutForm
from funnel.storefront.orders import fingerprint, order_of
from funnel.storefront.pages import DATABASE_ERRORS, show
from funnel.storefront.visits import Visit, open_visit
from sessions_unified.cookies import issue_cookie
from sessions_unified.exceptions import InvalidChangeError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from funnel.payments.idempotency import Reply
    from sessions_unified.snapshot import SessionSnapshot

ENDPOINT: Final = "checkout.process"

_CHANGED: Final = (
    "Your order has changed since this page was opened, so nothing was charged. "
    "Check the order and pay again."
)
_STALE: Final = "This page was out of date, so nothing was charged. Check it and pay again."
_IN_DOUBT: Final = (
    "We are still checking an earlier payment of this order, so nothing was charged now. "
    "Come back later, or ask the shop."
)
_EMPTY: Final = "There is nothing to pay for in this order. Nothing was charged."
_UNREADABLE: Final = "Something you typed cannot be stored. Nothing was charged. Check your data."
_UNREACHABLE: Final = (
    "We could not reach our systems. Wait a few seconds and press Pay again: "
    "nothing will be charged twice."
)

# Refusals that leave the shopper at the checkout, with nothing charged.
_REFUSALS: Final[dict[type[Exception], tuple[str, int]]] = {
    errors.IdempotencyKeyError: (_STALE, 409),
    errors.IdempotencyKeyReusedError: (_STALE, 409),
    errors.ChargeInFlightError: (_IN_DOUBT, 409),
    errors.NothingToChargeError: (_EMPTY, 409),
    errors.OrderChangedError: (_CHANGED, 409),
    InvalidChangeError: (_UNREADABLE, 422),
}


def new_key() -> str:
    """Return an idempotency key: one for each time a form is shown anew."""
    return secrets.token_urlsafe(24)


def checkout_page(
    request: HttpRequest,
    visit: Visit,
    session: SessionSnapshot,
    form: CheckoutForm,
    *,
    key: str,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """Return the page. A problem that is not about one field is said above the form."""
    gateway = get_gateway()
    context = {
        **gateway.card_context(),
        "card_template": gateway.card_template,
        "takes_money": gateway.takes_money,
        "order": order_of(session),
        "fingerprint": fingerprint(session),
        "form": form,
        "key": key,
        "problem": problem,
    }
    return show(request, "checkout", context, manager=visit.manager, status=status)


def pay(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    """Charge the order and redirect to what comes next; else show the page with what is wrong."""
    form = CheckoutForm(request.POST)
    key = request.POST.get("key", "")
    if request.POST.get("order") != fingerprint(session):
        return _again(request, _CHANGED, status=409)
    if not form.is_valid():
        return checkout_page(request, visit, session, form, key=key or new_key(), status=422)
    try:
        reply = _charge(visit, session, form, key)
    except tuple(_REFUSALS) as exc:
        problem, status = _REFUSALS[type(exc)]
        return _again(request, problem, status=status)
    except DATABASE_ERRORS:
        # Whether it was sent is not known, so the key stays: pressing Pay again is the same charge.
        text = _UNREACHABLE
        return checkout_page(request, visit, session, form, key=key, problem=text, status=503)
    if reply.status == 402:  # noqa: PLR2004  (Payment Required)
        return _again(request, str(reply.data["detail"]), status=402)
    return _go_on(request)


def _charge(visit: Visit, session: SessionSnapshot, form: CheckoutForm, key: str) -> Reply:
    return process_checkout(
        visit.manager,
        session.id,
        key=key,
        payment_token=form.cleaned_data["payment_token"],
        customer=form.customer(session.customer),
        email=form.cleaned_data["email"],
        shown=session,
    )


def _again(request: HttpRequest, problem: str, *, status: int) -> HttpResponse:
    """Show the page again under a new key, where it is still the shopper's page."""
    visit = open_visit(request, ENDPOINT)
    session = visit.session_at(request)
    if session is None:
        return visit.redirect()
    # A payment token works once: the card is chosen, or typed, again.
    typed = {name: text for name, text in request.POST.dict().items() if name != "payment_token"}
    form, key = CheckoutForm(initial=typed), new_key()
    return checkout_page(request, visit, session, form, key=key, problem=problem, status=status)


def _go_on(request: HttpRequest) -> HttpResponse:
    visit = open_visit(request, ENDPOINT)
    response = visit.redirect()
    if visit.session is not None and visit.session.is_paid:
        issue_cookie(response, visit.session)
    return response

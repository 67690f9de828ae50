"""The checkout's page, and what becomes of pressing Pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from funnel import exceptions as errors
from funnel.checkout import process_checkout
from funnel.payments.card_testing.payers import payer_of
from funnel.payments.gateway import get_gateway
from funnel.storefront import ordering, stopped
from funnel.storefront.bumps import bump_cards
from funnel.storefront.forms import CheckoutForm
from funnel.storefront.keys import new_key
from funnel.storefront.orders import fingerprint, order_of
from funnel.storefront.pages import DATABASE_ERRORS, show
from funnel.storefront.visits import Visit, open_visit, see_other
from sessions_unified.cookies import issue_cookie
from sessions_unified.exceptions import InvalidChangeError, PricingError

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

_UNCHANGED: Final = (
    "We could not reach our systems, so your order is as it was. Wait a few seconds and try again."
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
_REFUSED: Final[tuple[type[Exception], ...]] = (errors.TooManyDeclinesError, *_REFUSALS)


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
        "bumps": bump_cards(session),
        "fingerprint": fingerprint(session),
        "form": form,
        "key": key,
        "problem": problem,
    }
    return show(request, "checkout", context, manager=visit.manager, status=status)


def choose_bump(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    """Add an order bump or take it out, and keep what was typed. Nothing is charged.

    What was typed goes into the session, and the browser is redirected, so that it can go back to
    this page. What the session cannot hold is shown again at once, under the same key.
    """
    decision, _, bump_id = request.POST["bump"].partition(":")
    problem, status = "", 200
    typed = CheckoutForm(request.POST).draft(session.customer)
    try:
        session = ordering.choose_bump(
            visit.manager, session, bump_id, is_wanted=decision == "add", typed=typed or {}
        )
    except PricingError as exc:
        problem, status = str(exc), 422
    except DATABASE_ERRORS:
        problem, status = _UNCHANGED, 503
    if not ordering.can_change(session):
        return open_visit(request, ENDPOINT).redirect()
    if typed is not None and not problem:
        return see_other(f"{request.path_info}#bumps")
    form, key = CheckoutForm(initial=request.POST.dict()), request.POST.get("key") or new_key()
    return checkout_page(request, visit, session, form, key=key, problem=problem, status=status)


def pay(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    """Charge the order and redirect to what comes next; else show the page with what is wrong."""
    form = CheckoutForm(request.POST)
    key = request.POST.get("key", "")
    if request.POST.get("order") != fingerprint(session):
        return _again(request, _CHANGED, status=409)
    if not form.is_valid():
        return checkout_page(request, visit, session, form, key=key or new_key(), status=422)
    try:
        reply = _charge(request, visit, session, form, key)
    except _REFUSED as exc:
        return _refused(request, exc)
    except DATABASE_ERRORS:
        # Whether it was sent is not known, so the key stays: pressing Pay again is the same charge.
        text = _UNREACHABLE
        return checkout_page(request, visit, session, form, key=key, problem=text, status=503)
    if reply.status == 402:  # noqa: PLR2004  (Payment Required)
        return _again(request, str(reply.data["detail"]), status=402)
    return _go_on(request)


def _charge(
    request: HttpRequest, visit: Visit, session: SessionSnapshot, form: CheckoutForm, key: str
) -> Reply:
    token = form.cleaned_data["payment_token"]
    return process_checkout(
        visit.manager,
        session.id,
        key=key,
        payment_token=token,
        customer=form.customer(session.customer),
        email=form.cleaned_data["email"],
        shown=session,
        payer=payer_of(request, payment_token=token, claimed=request.POST.get("card_fingerprint")),
    )


def _refused(request: HttpRequest, exc: Exception) -> HttpResponse:
    if isinstance(exc, errors.TooManyDeclinesError):
        page = _again(request, stopped.text(exc), status=stopped.STATUS)
        return stopped.with_retry(page, exc)
    problem, status = _REFUSALS[type(exc)]
    return _again(request, problem, status=status)


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

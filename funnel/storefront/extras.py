"""The extras' pages: offers after the order, and what becomes of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from funnel.catalog import offer_name
from funnel.exceptions import NoStoredCardError, TooManyDeclinesError
from funnel.flow import open_offers, step_after
from funnel.payments.card_testing.payers import payer_of
from funnel.payments.gateway import get_gateway
from funnel.payments.idempotency import check_key
from funnel.storefront import stopped
from funnel.storefront.keys import new_key
from funnel.storefront.orders import fingerprint, money
from funnel.storefront.pages import DATABASE_ERRORS, show, unavailable
from funnel.storefront.refusals import Retry, retry_at, retry_without_card
from funnel.storefront.visits import Visit, open_visit
from funnel.storefront.waiting import Waiting, waiting_at
from funnel.upsell import ACCEPT, DECLINE, process_upsell

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from funnel.catalog import Offer
    from sessions_unified.snapshot import SessionSnapshot

ENDPOINT: Final = "upsell.process"

_ANOTHER: Final = "another"
_MAX_TOKEN: Final = 255
_CARD_DATA: Final = (
    "Something in your answer looks like card data, so nothing was charged. "
    "Cards go into the card form alone."
)
_CARD_MISSING: Final = "Choose a card to pay with. Nothing was charged."


@dataclass(frozen=True, kw_only=True)
class Card:
    """One offer as it is shown; ``key`` is the idempotency key of accepting it."""

    offer: Offer
    price: str
    key: str


def extras_page(
    request: HttpRequest,
    visit: Visit,
    session: SessionSnapshot,
    *,
    retry: Retry | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """Return the offers that are open, first the one whose charge was refused.

    While one of them is being paid it is the waiting page.
    """
    context = {"fingerprint": fingerprint(session), "key": new_key()}
    waiting = waiting_at(session.id, session.current_step)
    if waiting is not None:
        return _waiting_page(request, visit, waiting, context)
    retry = retry or retry_at(session)
    gateway = get_gateway()
    shown = {
        **gateway.card_context(),
        "card_template": gateway.card_template,
        "offers": _cards(session, retry),
        "is_downsell": all(offer.follows for offer in open_offers(session)),
        "retry": retry,
        "problem": problem or (retry.text if retry else ""),
    }
    return show(request, "extras", {**shown, **context}, manager=visit.manager, status=status)


def _cards(session: SessionSnapshot, retry: Retry | None) -> list[Card]:
    return [
        Card(offer=offer, price=money(offer.price, session.currency), key=new_key())
        for offer in open_offers(session)
        if retry is None or offer != retry.offer
    ]


def _waiting_page(
    request: HttpRequest, visit: Visit, waiting: Waiting, context: dict[str, str]
) -> HttpResponse:
    name = offer_name(waiting.offer_id or "")
    return show(
        request,
        "processing",
        {**context, "waiting": waiting, "name": name},
        manager=visit.manager,
        refresh_seconds=waiting.refresh_seconds,
    )


def answer(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    """Take the answer and redirect to what comes next.

    After a refused charge that is this page, which says so: the browser can refresh it, and go back
    to it, without sending anything again.
    """
    if getattr(request.POST, "refused", None):
        return extras_page(request, visit, session, problem=_CARD_DATA, status=422)
    if request.POST.get("order") != fingerprint(session):
        return visit.redirect()
    if request.POST.get("decision") == ACCEPT:
        return _accept(request, visit, session)
    if request.POST.get("decision") == DECLINE:
        _decline_all(visit, session, key=check_key(request.POST.get("key")))
    return open_visit(request, ENDPOINT).redirect()


def _accept(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    token = request.POST.get("payment_token", "") if _has_card(request) else None
    if token is not None and not 0 < len(token) <= _MAX_TOKEN:
        return extras_page(request, visit, session, problem=_CARD_MISSING, status=422)
    try:
        _charge(request, visit, session, token)
    except NoStoredCardError:
        return _ask_for_card(request, visit, session)
    except TooManyDeclinesError as exc:
        page = extras_page(
            request, visit, session, problem=stopped.text(exc), status=stopped.STATUS
        )
        return stopped.with_retry(page, exc)
    except DATABASE_ERRORS:
        # Whether it was sent is not known: trying again sends the same key.
        return unavailable(request, repeats=True)
    return open_visit(request, ENDPOINT).redirect()


def _has_card(request: HttpRequest) -> bool:
    """Tell whether the form is the one with a card, even if no card was typed into it."""
    return request.POST.get("card") == _ANOTHER


def _charge(
    request: HttpRequest, visit: Visit, session: SessionSnapshot, token: str | None
) -> None:
    process_upsell(
        visit.manager,
        session.id,
        key=request.POST.get("key"),
        offer_id=request.POST.get("offer", ""),
        decision=ACCEPT,
        payment_token=token,
        payer=payer_of(request, payment_token=token, claimed=request.POST.get("card_fingerprint")),
    )


def _ask_for_card(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    offers = {offer.id: offer for offer in open_offers(session)}
    retry = retry_without_card(session, offers[request.POST["offer"]])
    return extras_page(request, visit, session, retry=retry, status=409)


def _decline_all(visit: Visit, session: SessionSnapshot, *, key: str) -> None:
    """Say no to every offer that was shown: what "No thanks" means to a shopper.

    An extra in doubt may yet be added, so nothing is offered in its place: the step is left.
    """
    for offer in open_offers(session):
        process_upsell(
            visit.manager,
            session.id,
            key=f"{key[:150]}:{offer.id}",
            offer_id=offer.id,
            decision=DECLINE,
        )
    if waiting_at(session.id, session.current_step) is not None:
        _leave(visit, session.id, session.current_step)


def _leave(visit: Visit, session_id: str, step: str) -> None:
    now = visit.manager.get_session(session_id, fresh=True)
    if now.current_step == step:
        visit.manager.update_session(session_id, step_after(step), if_version=now.version)

"""The extras' pages: offers after the order, and what becomes of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from funnel.exceptions import NoStoredCardError
from funnel.flow import open_offers
from funnel.payments.idempotency import check_key
from funnel.storefront.checkout import new_key
from funnel.storefront.orders import fingerprint, money
from funnel.storefront.pages import show
from funnel.storefront.receipts import offer_name
from funnel.storefront.visits import Visit, open_visit
from funnel.storefront.waiting import Waiting, waiting_at
from funnel.upsell import ACCEPT, DECLINE, process_upsell

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from funnel.catalog import Offer
    from sessions_unified.snapshot import SessionSnapshot

ENDPOINT: Final = "upsell.process"

_DECLINED: Final = (
    "{name} could not be charged: the card was declined. Nothing was charged for it. "
    "Your order itself is paid."
)
_NO_CARD: Final = "There is no stored card for this order, so extras cannot be added to it."


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
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """Return the offers that are open; while one of them is being paid, the waiting page."""
    context = {"fingerprint": fingerprint(session), "key": new_key(), "problem": problem}
    waiting = waiting_at(session.id, session.current_step)
    if waiting is not None:
        return _waiting_page(request, visit, waiting, context)
    cards = [
        Card(offer=offer, price=money(offer.price, session.currency), key=new_key())
        for offer in open_offers(session)
    ]
    return show(
        request, "extras", {**context, "cards": cards}, manager=visit.manager, status=status
    )


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
    """Take the answer and redirect to what comes next; a declined charge shows the offers again."""
    if request.POST.get("order") != fingerprint(session):
        return visit.redirect()
    if request.POST.get("decision") == ACCEPT:
        return _accept(request, visit, session)
    if request.POST.get("decision") == DECLINE:
        _decline_all(visit, session, key=check_key(request.POST.get("key")))
    return open_visit(request, ENDPOINT).redirect()


def _accept(request: HttpRequest, visit: Visit, session: SessionSnapshot) -> HttpResponse:
    offer_id = request.POST.get("offer", "")
    try:
        reply = process_upsell(
            visit.manager,
            session.id,
            key=request.POST.get("key"),
            offer_id=offer_id,
            decision=ACCEPT,
        )
    except NoStoredCardError:
        return extras_page(request, visit, session, problem=_NO_CARD, status=409)
    visit = open_visit(request, ENDPOINT)
    here = visit.session_at(request)
    if reply.status != 402 or here is None:  # noqa: PLR2004  (Payment Required)
        return visit.redirect()
    problem = _DECLINED.format(name=offer_name(offer_id))
    return extras_page(request, visit, here, problem=problem, status=402)


def _decline_all(visit: Visit, session: SessionSnapshot, *, key: str) -> None:
    """Say no to every offer of the step: what "No thanks" means to a shopper."""
    for offer in open_offers(session):
        process_upsell(
            visit.manager,
            session.id,
            key=f"{key[:150]}:{offer.id}",
            offer_id=offer.id,
            decision=DECLINE,
        )

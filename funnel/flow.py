"""What the shopper sees now: which page, which offers. The legal moves are the core's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from funnel.bumps import open_bumps
from funnel.catalog import CURRENCY, Offer, offers_at
from sessions_unified.flow import COMPLETED, EXPIRED, FAILED, PENDING, PROCESSING, get_flow

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot

_PAGES: Final = {
    "checkout": "/checkout",
    "processing": "/processing",
    "upsell-1": "/upsell-1",
    "upsell-2": "/upsell-2",
    "success": "/success",
}
START_AGAIN: Final = "/start-again"


@dataclass(frozen=True, kw_only=True)
class Next:
    """Where the shopper goes now.

    Attributes:
        step: the flow's step.
        url: the storefront's page of it.
        offers: ids of the offers still open there; at the checkout, of the order bumps that may
            still be added.

    """

    step: str
    url: str
    offers: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON of it."""
        return {"step": self.step, "url": self.url, "offers": list(self.offers)}


def open_offers(session: SessionSnapshot) -> tuple[Offer, ...]:
    """Return the offers still open at the session's step.

    A step ends when one of its offers is accepted or all open ones are declined; a downsell opens
    when the offer that it follows is. Offers are priced in the catalogue's currency alone: an order
    in another one (imported) gets none. Order bumps are not among them: see `open_bumps`.
    """
    if session.status in {COMPLETED, EXPIRED} or session.currency != CURRENCY:
        return ()
    offers = offers_at(session.current_step)
    if any(offer.id in session.upsells.accepted for offer in offers):
        return ()
    declined = session.upsells.declined
    return tuple(
        offer
        for offer in offers
        if offer.id not in declined and (offer.follows is None or offer.follows in declined)
    )


def is_over(session: SessionSnapshot) -> bool:
    """Tell whether the session's upsell step has ended and it should move on."""
    has_offers = bool(offers_at(session.current_step))
    return has_offers and session.status not in {COMPLETED, EXPIRED} and not open_offers(session)


def step_after(step: str) -> dict[str, str]:
    """Return the changes that lead from an upsell step to the position after it."""
    flow = get_flow()
    after = flow.positions[flow.rank(step) + 1]
    return {"status": after.status, "current_step": after.step}


def is_payment_open(session: SessionSnapshot) -> bool:
    """Tell whether the outcome of the order's payment is still to come.

    An imported session may say so by its status or by its step alone.
    """
    if session.is_paid:
        return False
    is_at_payment = session.status == PENDING and session.current_step == "processing"
    return session.status == PROCESSING or is_at_payment


def next_for(session: SessionSnapshot) -> Next:
    """Return what the shopper of this session sees now."""
    return Next(
        step=session.current_step,
        url=_page(session),
        offers=tuple(offer.id for offer in open_offers(session) or open_bumps(session)),
    )


def _page(session: SessionSnapshot) -> str:
    """Return the one page of a session. Imported ones may be outside the flow's table."""
    step = session.current_step
    if session.status == COMPLETED:
        step = get_flow().end.step
    elif not session.is_paid:
        # Past the checkout without a known payment: no page may ask for one, or claim one.
        if is_payment_open(session):
            step = "processing"
        elif session.status in {EXPIRED, FAILED} or step != get_flow().start.step:
            return START_AGAIN
    return _PAGES.get(step, START_AGAIN)

"""An extra whose charge was refused: what is said of it, and how it may be tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from funnel.flow import open_offers
from funnel.payments.cards import stored_card
from funnel.payments.models import ChargeAttempt, upsell_purpose
from funnel.storefront.keys import new_key
from funnel.storefront.orders import money

if TYPE_CHECKING:
    from funnel.catalog import Offer
    from sessions_unified.snapshot import SessionSnapshot

State = ChargeAttempt.State

_TEXTS: Final = {
    State.DECLINED: "{name} could not be charged: the card was declined. Nothing was charged for "
    "it. Your order itself is paid.",
    State.REJECTED: "{name} could not be charged: the payment was rejected. Nothing was charged "
    "for it. Your order itself is paid.",
    State.VOIDED: "The payment for {name} was cancelled, and its amount goes back to the card. "
    "Your order itself is paid.",
}
_NO_CARD: Final = (
    "There is no stored card for this order. Nothing was charged. Use a card to add {name}."
)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """An offer that may be tried again.

    Attributes:
        text: what happened.
        has_card: whether a card is on file to try; else only another card will do.
        is_same_card: whether that is the card that was refused.
        stored_key: the idempotency key of trying the card on file.
        other_key: the one of trying another.

    """

    offer: Offer
    price: str
    text: str
    has_card: bool
    is_same_card: bool
    stored_key: str
    other_key: str


def retry_at(session: SessionSnapshot) -> Retry | None:
    """Return what was refused last at the session's step, if its offer is still open."""
    attempt = (
        ChargeAttempt.objects.filter(session_id=session.id, step=session.current_step)
        .order_by("pk")
        .last()
    )
    if attempt is None or attempt.state not in _TEXTS:
        return None
    for offer in open_offers(session):
        if upsell_purpose(offer.id) == attempt.purpose:
            text = _TEXTS[State(attempt.state)]
            return _retry(session, offer, text, refused_card=attempt.vault_id)
    return None


def retry_without_card(session: SessionSnapshot, offer: Offer) -> Retry:
    """Return the way to an offer that no stored card can pay for."""
    return _retry(session, offer, _NO_CARD)


def _retry(
    session: SessionSnapshot, offer: Offer, text: str, *, refused_card: str | None = None
) -> Retry:
    card = stored_card(session.id)
    return Retry(
        offer=offer,
        price=money(offer.price, session.currency),
        text=text.format(name=offer.name),
        has_card=card is not None,
        is_same_card=card == refused_card,
        stored_key=new_key(),
        other_key=new_key(),
    )

"""The use case: answer an offer, with one click. Accepting charges the stored card, once.

Or another card, where the stored one was declined or there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from funnel import flow
from funnel.catalog import OFFERS, Offer
from funnel.exceptions import (
    ChargeInFlightError,
    NoStoredCardError,
    OfferClosedError,
    UnknownOfferError,
)
from funnel.payments import cards, charging, idempotency, replies
from funnel.payments.card_testing.stops import noted
from funnel.payments.charging import Operation
from funnel.payments.lines import OFFER, Line
from funnel.payments.models import CHECKOUT, ChargeAttempt, upsell_purpose
from funnel.payments.payer import NOBODY
from sessions_unified.clock import get_clock
from sessions_unified.flow import COMPLETED, get_flow

if TYPE_CHECKING:
    from funnel.payments.idempotency import Reply
    from funnel.payments.payer import Payer
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

Decision = Literal["accept", "decline"]
ACCEPT: Final = "accept"
DECLINE: Final = "decline"


def process_upsell(
    manager: UnifiedSessionManager,
    session_id: str,
    *,
    key: str | None,
    offer_id: str,
    decision: str,
    payment_token: str | None = None,
    payer: Payer = NOBODY,
) -> Reply:
    """Accept or decline an offer.

    With ``payment_token`` an acceptance charges that card instead of the stored one, and keeps it
    for the offers that come after.

    Raises:
        UnknownOfferError: the shop makes no such offer after the order.
        OfferClosedError: it is not open to this session.
        NoStoredCardError: there is no card to charge.
        IdempotencyKeyError, IdempotencyKeyReusedError, ChargeInFlightError, TooManyDeclinesError:
            as at the checkout.
        SessionNotFoundError, SessionExpiredError, DatabaseUnavailableError: as the manager's.

    """
    offer = _offer(offer_id)
    given = {"offer": offer_id, "decision": decision}
    if payment_token is not None:
        given["paymentToken"] = payment_token
    operation = Operation(
        session_id=session_id,
        key=idempotency.check_key(key),
        digest=idempotency.request_hash("upsell", given),
    )
    with noted(), manager.lock_session(session_id, durable=True) as locked:
        known = charging.replay(locked, operation)
        if known is not None:
            return known
        if charging.is_paid(session_id, upsell_purpose(offer_id)):
            return replies.done(locked.session)
        if decision == DECLINE:
            return _decline(locked, operation, offer)
        has_card = payment_token is not None
        attempt = _claim(locked, operation, offer, has_card=has_card, payer=payer)
        session = locked.session
    if not has_card:
        return charging.charge(manager, attempt, payer=payer)
    return charging.charge(
        manager,
        attempt,
        payment_token=payment_token,
        customer=session.customer,
        email=session.email,
        payer=payer,
    )


def _offer(offer_id: str) -> Offer:
    offer = OFFERS.get(offer_id)
    if offer is None:
        raise UnknownOfferError
    if offer.is_bump:
        message = "This is an order bump: it is added to the order before it is paid."
        raise UnknownOfferError(message)
    return offer


def _claim(
    locked: LockedSession,
    operation: Operation,
    offer: Offer,
    *,
    has_card: bool,
    payer: Payer,
) -> ChargeAttempt:
    session = locked.session
    charging.refuse_while_open(session.id, offer.step)
    if offer not in flow.open_offers(session):
        raise OfferClosedError
    if has_card and not charging.is_paid(session.id, CHECKOUT):
        raise OfferClosedError
    attempt = charging.claim(
        locked,
        operation,
        purpose=upsell_purpose(offer.id),
        step=offer.step,
        lines=[offer_line(offer)],
        currency=session.currency,
        vault_id=None if has_card else _stored_card(session.id),
        payer=payer,
    )
    # The session stays at its step: the order does not wait for an extra.
    data = {"offer": offer.id, "amount": str(offer.price), "currency": session.currency}
    locked.update({}, kind="upsell_started", data=data)
    return attempt


def offer_line(offer: Offer) -> Line:
    """Return what accepting an offer charges."""
    return Line(kind=OFFER, item=offer.id, name=offer.name, quantity=1, amount=offer.price)


def _stored_card(session_id: str) -> str:
    """Return the vault id of the card on file, if the order is paid."""
    vault_id = cards.stored_card(session_id) if charging.is_paid(session_id, CHECKOUT) else None
    if vault_id is None:
        raise NoStoredCardError
    return vault_id


def _decline(locked: LockedSession, operation: Operation, offer: Offer) -> Reply:
    """Note the refusal. A shopper may leave a step whose charge is unknown, not one in flight.

    One whose process died is in flight until its lease ends.
    """
    session = locked.session
    _refuse_while_claimed(session.id, offer.step)
    if _is_behind(session, offer):
        raise OfferClosedError
    if session.current_step == offer.step and session.status != COMPLETED:
        locked.update(_declined(session, offer), kind="upsell_declined", data={"offer": offer.id})
    reply = replies.done(locked.session)
    idempotency.remember(session.id, operation.key, operation.digest, reply=reply)
    return reply


def _refuse_while_claimed(session_id: str, step: str) -> None:
    claimed = ChargeAttempt.objects.filter(
        session_id=session_id,
        step=step,
        state=ChargeAttempt.State.CLAIMED,
        lease_until__gt=get_clock().now(),
    )
    if claimed.exists():
        raise ChargeInFlightError


def _is_behind(session: SessionSnapshot, offer: Offer) -> bool:
    return get_flow().rank(session.current_step) < get_flow().rank(offer.step)


def _declined(session: SessionSnapshot, offer: Offer) -> dict[str, Any]:
    upsells = session.upsells
    declined = list(dict.fromkeys([*upsells.declined, offer.id]))
    after = {
        "accepted": list(upsells.accepted),
        "declined": declined,
        "details": upsells.details,
    }
    remaining = [each for each in flow.open_offers(session) if each.id != offer.id]
    return {"upsells": after} | ({} if remaining else flow.step_after(offer.step))

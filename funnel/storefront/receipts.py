"""The receipt: what was ordered, what each extra cost, what was charged in all."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from funnel.catalog import offer_name
from funnel.payments.models import CHECKOUT, ChargeAttempt
from funnel.payments.refunds.models import Refund
from funnel.storefront.orders import Order, money, order_of

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An extra that was accepted; ``price`` is None where another shop system charged for it."""

    name: str
    price: str | None


@dataclass(frozen=True, kw_only=True)
class GivenBack:
    """What was given back for the order or an extra."""

    name: str
    amount: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the last page shows.

    Attributes:
        reference: the transaction's number; the session's where there is none.
        ordered_at: when the order was paid, as far as we know.
        total: everything whose price is on record; None where nothing is.
        is_total_partial: some extra's price is not.
        pending: names of extras whose charge is not settled yet.
        given_back: refunds of what is on this receipt.
        total_after: what of ``total`` is left after them; None where either is not known.
        surplus_given_back: what was charged a second time, and given back.

    """

    reference: str
    ordered_at: datetime
    order: Order
    extras: tuple[Extra, ...]
    pending: tuple[str, ...]
    total: str | None
    is_total_partial: bool
    given_back: tuple[GivenBack, ...] = ()
    total_after: str | None = None
    surplus_given_back: str | None = None


def receipt_of(session: SessionSnapshot) -> Receipt:
    """Return the receipt of a session that has come to the end."""
    attempts = list(ChargeAttempt.objects.filter(session_id=session.id).order_by("pk"))
    prices = [_price(session, offer_id) for offer_id in session.upsells.accepted]
    known = [price for price in (session.amount, *prices) if price is not None]
    refunds = _refunds(session)
    of_order = [each for each in refunds if each.attempt.transaction_id in _paid(session)]
    surplus = sum((each.amount for each in refunds if each not in of_order), Decimal(0))
    left = sum(known, Decimal(0)) - sum((each.amount for each in of_order), Decimal(0))
    return Receipt(
        reference=session.transaction_id or session.id,
        ordered_at=_ordered_at(session, attempts),
        order=order_of(session),
        extras=tuple(
            Extra(
                name=offer_name(offer_id),
                price=None if price is None else money(price, session.currency),
            )
            for offer_id, price in zip(session.upsells.accepted, prices, strict=True)
        ),
        pending=tuple(
            offer_name(attempt.offer_id)
            for attempt in attempts
            if attempt.is_open and attempt.offer_id is not None
        ),
        total=money(sum(known, Decimal(0)), session.currency) if known else None,
        is_total_partial=None in prices,
        given_back=tuple(
            GivenBack(name=_what(each.attempt), amount=money(each.amount, session.currency))
            for each in of_order
        ),
        total_after=money(left, session.currency) if of_order and known else None,
        surplus_given_back=money(surplus, session.currency) if surplus else None,
    )


def _refunds(session: SessionSnapshot) -> list[Refund]:
    """Return what went back, oldest first."""
    succeeded = Refund.objects.filter(
        attempt__session_id=session.id,
        attempt__currency=session.currency,
        state=Refund.State.SUCCEEDED,
    )
    return list(succeeded.select_related("attempt").order_by("pk"))


def _paid(session: SessionSnapshot) -> set[str | None]:
    """Return the transactions that paid for what is on the receipt; others were surplus."""
    details = session.upsells.details.values()
    paid = {each.get("transactionId") for each in details if isinstance(each, dict)}
    return {session.transaction_id, *paid} - {None}


def _what(attempt: ChargeAttempt) -> str:
    return "Your order" if attempt.offer_id is None else offer_name(attempt.offer_id)


def _price(session: SessionSnapshot, offer_id: str) -> Decimal | None:
    """Return what an extra cost, as recorded when it was charged."""
    details: Any = session.upsells.details.get(offer_id)
    amount = details.get("amount") if isinstance(details, dict) else None
    if not isinstance(amount, int | float | str) or isinstance(amount, bool):
        return None
    try:
        price = Decimal(str(amount))
    except InvalidOperation:
        return None
    same_currency = details.get("currency", session.currency) == session.currency
    return price if price.is_finite() and same_currency else None


def _ordered_at(session: SessionSnapshot, attempts: list[ChargeAttempt]) -> datetime:
    settled = (a.settled_at for a in attempts if a.purpose == CHECKOUT and a.settled_at)
    return next(settled, session.created_at)

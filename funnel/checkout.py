"""The use case: pay for the order."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from funnel.bumps import with_bumps
from funnel.exceptions import NothingToChargeError, OrderChangedError
from funnel.payments import charging, idempotency, replies
from funnel.payments.card_testing.stops import noted
from funnel.payments.charging import Operation
from funnel.payments.lines import ADJUSTMENT, PRODUCT, Line, total
from funnel.payments.models import CHECKOUT, ChargeAttempt
from funnel.payments.payer import NOBODY
from sessions_unified.exceptions import InvalidTransitionError
from sessions_unified.flow import PROCESSING, Position, get_flow
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from funnel.payments.idempotency import Reply
    from funnel.payments.payer import Payer
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot


def process_checkout(
    manager: UnifiedSessionManager,
    session_id: str,
    *,
    key: str | None,
    payment_token: str,
    customer: Mapping[str, Any] | None = None,
    email: str | None = None,
    bumps: Sequence[str] | None = None,
    shown: SessionSnapshot | None = None,
    payer: Payer = NOBODY,
) -> Reply:
    """Charge the order of the session, once, whatever is clicked, repeated or cut.

    ``bumps`` are ids: exactly these order bumps are in the order that is charged, and stay in it
    when the card is declined; None: it is charged as it stands. ``shown`` is the session whose
    order the shopper agreed to; another order is not charged.

    Raises:
        IdempotencyKeyError, IdempotencyKeyReusedError: the key is missing, or another operation's.
        ChargeInFlightError: a charge of the order is under way.
        TooManyDeclinesError: too many charges were declined; nothing is written, nothing charged.
        InvalidTransitionError: the session is not at the checkout.
        NothingToChargeError: it has no products.
        OrderChangedError: its order is not the one that was shown.
        PricingError: a bump cannot be added to it.
        SessionNotFoundError, SessionExpiredError, DatabaseUnavailableError: as the manager's.

    """
    given: dict[str, Any] = {"paymentToken": payment_token, "customer": customer, "email": email}
    if bumps is not None:
        given["bumps"] = sorted(set(bumps))
    operation = Operation(
        session_id=session_id,
        key=idempotency.check_key(key),
        digest=idempotency.request_hash("checkout", given),
    )
    changes: dict[str, Any] = {"status": PROCESSING, "current_step": "processing"}
    if customer is not None:
        changes["customer"] = dict(customer)
    if email is not None:
        changes["email"] = email
    with noted(), manager.lock_session(session_id, durable=True) as locked:
        known = charging.replay(locked, operation)
        if known is not None:
            return known
        if charging.is_paid(session_id, CHECKOUT):
            return replies.done(locked.session)
        _refuse_elsewhere(locked.session, shown)
        changes |= {} if bumps is None else with_bumps(locked.session, bumps)
        attempt = _claim(locked, operation, changes, payer)
        session = locked.session
    return charging.charge(
        manager,
        attempt,
        payment_token=payment_token,
        customer=session.customer,
        email=session.email,
        payer=payer,
    )


def _refuse_elsewhere(session: SessionSnapshot, shown: SessionSnapshot | None) -> None:
    """Refuse a session that cannot pay now; inside the lock, by the row."""
    charging.refuse_while_open(session.id, "processing")
    if Position(session.status, session.current_step) != get_flow().start:
        message = f"A session at {session.status}/{session.current_step} cannot check out."
        raise InvalidTransitionError(message)
    if shown is not None and _order(shown) != _order(session):
        raise OrderChangedError


def _order(session: SessionSnapshot) -> tuple[Any, ...]:
    return session.products, session.amount, session.currency


def _claim(
    locked: LockedSession, operation: Operation, changes: Mapping[str, Any], payer: Payer
) -> ChargeAttempt:
    order = _changed(locked.session, changes)
    if not order.amount or order.amount <= 0:
        raise NothingToChargeError
    attempt = charging.claim(
        locked,
        operation,
        purpose=CHECKOUT,
        step="processing",
        lines=order_lines(order),
        currency=order.currency,
        payer=payer,
    )
    data = {"purpose": CHECKOUT, "amount": str(attempt.money), "currency": order.currency}
    locked.update(changes, kind="charge_started", data=data)
    return attempt


def _changed(session: SessionSnapshot, changes: Mapping[str, Any]) -> SessionSnapshot:
    """Return the session with the order that is about to be charged."""
    order = {name: changes[name] for name in ("products", "amount") if name in changes}
    return msgspec.structs.replace(session, **order)


def order_lines(session: SessionSnapshot) -> list[Line]:
    """Return what the order's amount is for: its products, and what separates them from it."""
    lines = [
        Line(
            kind=PRODUCT,
            item=product.id,
            name=product.name or product.id,
            quantity=product.quantity,
            amount=quantize((product.price or Decimal(0)) * product.quantity, session.currency),
        )
        for product in session.products
    ]
    gap = (session.amount or Decimal(0)) - total(lines, session.currency)
    if gap:
        name = "Shipping, discounts and the like"
        lines.append(Line(kind=ADJUSTMENT, item="", name=name, quantity=1, amount=gap))
    return lines

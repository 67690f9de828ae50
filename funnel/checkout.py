"""The use case: pay for the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from funnel.exceptions import NothingToChargeError
from funnel.payments import charging, idempotency, replies
from funnel.payments.charging import CHECKOUT, Operation
from sessions_unified.exceptions import InvalidTransitionError
from sessions_unified.flow import PROCESSING, Position, get_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from funnel.payments.idempotency import Reply
    from sessions_unified.manager import UnifiedSessionManager


def process_checkout(
    manager: UnifiedSessionManager,
    session_id: str,
    *,
    key: str | None,
    payment_token: str,
    customer: Mapping[str, Any] | None = None,
    email: str | None = None,
) -> Reply:
    """Charge the order of the session, once, whatever is clicked, repeated or cut.

    Raises:
        IdempotencyKeyError, IdempotencyKeyReusedError: the key is missing, or another operation's.
        ChargeInFlightError: a charge of the order is under way.
        InvalidTransitionError: the session is not at the checkout.
        NothingToChargeError: it has no products.
        SessionNotFoundError, SessionExpiredError, DatabaseUnavailableError: as the manager's.

    """
    given = {"paymentToken": payment_token, "customer": customer, "email": email}
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
    with manager.lock_session(session_id, durable=True) as locked:
        known = charging.replay(locked, operation)
        if known is not None:
            return known
        if charging.is_paid(session_id, CHECKOUT):
            return replies.done(locked.session)
        charging.refuse_while_open(session_id, "processing")
        session = locked.session
        if Position(session.status, session.current_step) != get_flow().start:
            message = f"A session at {session.status}/{session.current_step} cannot check out."
            raise InvalidTransitionError(message)
        if not session.amount or session.amount <= 0:
            raise NothingToChargeError
        attempt = charging.claim(
            locked,
            operation,
            purpose=CHECKOUT,
            step="processing",
            amount=session.amount,
            currency=session.currency,
        )
        data = {"purpose": CHECKOUT, "amount": str(session.amount), "currency": session.currency}
        session = locked.update(changes, kind="charge_started", data=data)
    return charging.charge(
        manager,
        attempt,
        payment_token=payment_token,
        customer=session.customer,
        email=session.email,
    )

"""The answers of checkout and upsells: the session and what comes next, or a problem with both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from funnel.flow import next_for
from funnel.payments.idempotency import Reply
from funnel.payments.models import ChargeAttempt
from sessions_unified.api import problems
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot

RETRY_AFTER_SECONDS: Final = 2

_encoder = msgspec.json.Encoder(decimal_format="number")

_REFUSALS: Final = {
    ChargeAttempt.State.DECLINED: (
        "payment_declined",
        "The card was declined. Nothing was charged. Try another card.",
    ),
    ChargeAttempt.State.REJECTED: (
        "payment_rejected",
        "The payment was rejected. Nothing was charged. Check the card's data or try another.",
    ),
    ChargeAttempt.State.VOIDED: (
        "payment_voided",
        "The payment was cancelled, and its amount goes back to the card. Try again.",
    ),
}


def _state(session: SessionSnapshot) -> dict[str, Any]:
    return {"session": to_wire(session), "next": next_for(session).to_wire()}


def done(session: SessionSnapshot) -> Reply:
    """Return 200: the session as it is now."""
    return Reply(status=200, body=_encoder.encode(_state(session)))


def unknown(session: SessionSnapshot) -> Reply:
    """Return 202: the outcome is not known yet; never "no payment was taken"."""
    return Reply(status=202, body=_encoder.encode(_state(session)), retry_after=RETRY_AFTER_SECONDS)


def refused(session: SessionSnapshot, state: str) -> Reply:
    """Return 402: the gateway said no, definitely."""
    code, detail = _REFUSALS[ChargeAttempt.State(state)]
    body = problems.body(402, code, detail) | _state(session)
    return Reply(status=402, body=_encoder.encode(body))


def of_settled(session: SessionSnapshot, attempt: ChargeAttempt) -> Reply:
    """Return the answer to a request whose attempt has this state."""
    if attempt.is_open:
        return unknown(session)
    if attempt.state in _REFUSALS:
        return refused(session, attempt.state)
    return done(session)

"""The charge protocol: never twice, never lost. T1 and N of its three parts; T2 is `settling`.

**T1**: one short durable transaction, before any network call: the session's lock, every check
inside it, the attempt row, the idempotency record, the event. **N**: one call of the gateway,
outside any transaction and lock. **T2**: one transaction: session, attempt, event and answer
together. A process that dies after T1 leaves an attempt that is *possibly charged*: it is asked
for, never sent again.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from funnel.conf import get_conf
from funnel.exceptions import ChargeInFlightError
from funnel.payments import idempotency, replies
from funnel.payments.card_testing.guarding import guard
from funnel.payments.card_testing.subjects import subjects_of
from funnel.payments.gateway import Outcome, Receipt, Sale, get_gateway
from funnel.payments.lines import Line, described, from_json, total
from funnel.payments.models import ChargeAttempt
from funnel.payments.payer import NOBODY
from funnel.payments.persisting import persist
from funnel.payments.settling import settle
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from funnel.payments.idempotency import Reply
    from funnel.payments.payer import Payer
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)

State = ChargeAttempt.State


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request to charge: which session, under which key, with which body."""

    session_id: str
    key: str
    digest: str


def replay(locked: LockedSession, operation: Operation) -> Reply | None:
    """Return the answer of a key that was seen before; None for a new one.

    Raises:
        IdempotencyKeyReusedError: it came with another body.
        ChargeInFlightError: its charge is under way.

    """
    record = idempotency.find(operation.session_id, operation.key, operation.digest)
    if record is None:
        return None
    if (answer := idempotency.reply_of(record)) is not None:
        return answer
    attempt = record.attempt
    if attempt is None or attempt.state == State.CLAIMED:
        raise ChargeInFlightError
    return replies.of_settled(locked.session, attempt)


def refuse_while_open(session_id: str, step: str) -> None:
    """Refuse while another attempt of this step is open.

    Raises:
        ChargeInFlightError: one is.

    """
    attempts = ChargeAttempt.objects.filter(session_id=session_id, step=step)
    if attempts.filter(state__in=ChargeAttempt.OPEN).exists():
        raise ChargeInFlightError


def is_paid(session_id: str, purpose: str) -> bool:
    """Tell whether a purpose has been paid; attempts are the authority."""
    return ChargeAttempt.objects.filter(
        session_id=session_id, purpose=purpose, state=State.SUCCEEDED
    ).exists()


def claim(
    locked: LockedSession,
    operation: Operation,
    *,
    purpose: str,
    step: str,
    lines: Sequence[Line],
    currency: str,
    vault_id: str | None = None,
    payer: Payer = NOBODY,
) -> ChargeAttempt:
    """Write the attempt, its idempotency record and the session's hold: the heart of T1.

    Identifiers are chosen before anything is sent: one order id an attempt, and our own vault id
    at the first sale, so that a lost answer loses no card reference.

    Raises:
        TooManyDeclinesError: the session, or the payer's address or card, had too many declined.

    """
    now = get_clock().now()
    subjects = subjects_of(operation.session_id, payer)
    guard(subjects, now)
    lease_until = now + timedelta(seconds=get_conf().LEASE_SECONDS)
    attempt = ChargeAttempt.objects.create(
        session_id=operation.session_id,
        purpose=purpose,
        step=step,
        state=State.CLAIMED,
        amount=total(lines, currency),
        currency=currency,
        lines=[line.to_json() for line in lines],
        gateway=get_gateway().name,
        gateway_order_id=f"fs-{secrets.token_hex(12)}",
        vault_id=vault_id or f"v{secrets.token_hex(12)}",
        address=subjects.address,
        card=subjects.card,
        lease_until=lease_until,
        next_check_at=lease_until,
        created_at=now,
    )
    idempotency.remember(operation.session_id, operation.key, operation.digest, attempt=attempt)
    locked.hold()
    return attempt


def charge(
    manager: UnifiedSessionManager,
    attempt: ChargeAttempt,
    *,
    payment_token: str | None = None,
    customer: Mapping[str, Any] | None = None,
    email: str | None = None,
    payer: Payer = NOBODY,
) -> Reply:
    """Send the claimed attempt to the gateway, once, and settle it: N and T2.

    Raises:
        OutcomeUnsettledError: the database did not take the receipt; the attempt stays open.

    """
    sale = Sale(
        order_id=attempt.gateway_order_id,
        amount=attempt.money,
        currency=attempt.currency,
        vault_id=attempt.vault_id or "",
        payment_token=payment_token,
        customer=customer,
        email=email,
        address=payer.address,
        description=described(from_json(attempt.lines)),
    )
    receipt = _send(attempt, sale)
    return persist(lambda: settle(manager, attempt.pk, receipt))


def _send(attempt: ChargeAttempt, sale: Sale) -> Receipt:
    """Call the gateway once. Whatever goes wrong leaves the outcome unknown, never declined."""
    gateway = get_gateway()
    left = attempt.lease_until - get_clock().now()
    if left < timedelta(seconds=gateway.timeout_seconds):
        # The sweeper may be asking for it already; nothing has been sent and nothing will be.
        return Receipt(outcome=Outcome.UNKNOWN, reason="The lease ended before it was sent")
    try:
        return gateway.sale(sale)
    except Exception as exc:  # noqa: BLE001  (a gateway's failure is an outcome: unknown)
        logger.warning("A charge's outcome is unknown: %s", type(exc).__name__)
        return Receipt(outcome=Outcome.UNKNOWN, reason=type(exc).__name__)

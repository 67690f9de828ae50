"""What a person decides on a charge in review: it was executed, or it was not. Who and why is kept.

The gateway is asked before a decision is taken, never trusted less than a typed number, and what
follows goes through the same T2 as everything else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from funnel.conf import get_conf
from funnel.exceptions import ResolutionRefusedError
from funnel.payments import verdicts
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.recovery.gateways import gateway_named
from funnel.payments.settling import settle
from funnel.payments.verdicts import Source, State
from sessions_unified.card_data import refuse_card_data
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from funnel.payments.models import ChargeAttempt
    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Who decides, and why.

    Attributes:
        by: the user's name.
        reason: in their words.

    Raises:
        ResolutionRefusedError: there is no reason.
        CardDataError: it holds card data.

    """

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            message = "Say why: the decision is kept with its reason."
            raise ResolutionRefusedError(message)
        refuse_card_data(self.reason, "reason")


def settle_with(
    manager: UnifiedSessionManager, attempt: ChargeAttempt, transaction_id: str, decision: Decision
) -> str:
    """Settle a charge in review with exactly this transaction; return its state.

    It must be a successful sale of the attempt's order, amount and currency. What another shop
    system charged cannot be asked for: the number is taken as typed.

    Raises:
        ResolutionRefusedError: it is not, or the gateway cannot be asked; nothing has changed.
        CardDataError: what was typed is a card's number.

    """
    _check_open(attempt)
    refuse_card_data(transaction_id, "transaction id")
    if attempt.gateway == IMPORTED:
        receipt = Receipt(
            outcome=Outcome.SUCCEEDED, transaction_id=transaction_id, reason="As typed by staff"
        )
    else:
        receipt = _confirmed(attempt, transaction_id)
    return _decide(manager, attempt, receipt, decision)


def not_executed(manager: UnifiedSessionManager, attempt: ChargeAttempt, decision: Decision) -> str:
    """Close a charge in review as declined; return its state.

    Only an hour (``REVIEW_SECONDS``) after it came into review: a charge can show up late. One
    that the gateway knows as executed cannot be closed so.

    Raises:
        ResolutionRefusedError: it is too early, or the gateway says otherwise.

    """
    _check_open(attempt)
    possible_at = closable_at(attempt)
    if get_clock().now() < possible_at:
        message = f"This is possible from {possible_at:%Y-%m-%d %H:%M:%S} UTC on, not before."
        raise ResolutionRefusedError(message)
    if attempt.gateway != IMPORTED and gateway_named(attempt.gateway) is not None:
        _refuse_if_executed(attempt)
    receipt = Receipt(outcome=Outcome.DECLINED, reason="Not executed, as decided by staff")
    return _decide(manager, attempt, receipt, decision)


def closable_at(attempt: ChargeAttempt) -> datetime:
    """Return from when on a charge in review may be called not executed."""
    since = attempt.review_since or get_clock().now()
    return since + timedelta(seconds=get_conf().REVIEW_SECONDS)


def _check_open(attempt: ChargeAttempt) -> None:
    if attempt.state != State.NEEDS_REVIEW:
        message = f"It is not in review: it is {attempt.get_state_display().lower()}."
        raise ResolutionRefusedError(message)


def _confirmed(attempt: ChargeAttempt, transaction_id: str) -> Receipt:
    """Return the gateway's own word that this transaction is the charge."""
    gateway = gateway_named(attempt.gateway)
    if gateway is None:
        message = f"The gateway {attempt.gateway} is not configured here, so it cannot be asked."
        raise ResolutionRefusedError(message)
    receipt = _asked(lambda: gateway.query_transaction(transaction_id))
    if receipt is None:
        message = f"The gateway knows no transaction {transaction_id}."
        raise ResolutionRefusedError(message)
    if receipt.outcome is not Outcome.SUCCEEDED:
        message = f"The gateway says that it is {receipt.outcome.value}, not a successful sale."
        raise ResolutionRefusedError(message)
    found = [*_missing(receipt), *verdicts.differences(attempt, receipt, is_decided=True)]
    if receipt.transaction_id != transaction_id:
        found.append(f"transaction {receipt.transaction_id}")
    if found:
        message = (
            f"It is not this charge. The gateway says: {'; '.join(found)}; sent was order "
            f"{attempt.gateway_order_id}, {attempt.money} {attempt.currency}."
        )
        raise ResolutionRefusedError(message)
    return receipt


def _missing(receipt: Receipt) -> list[str]:
    """Return what a person's decision needs to be confirmed and the gateway leaves out."""
    given = {
        "order": receipt.order_id,
        "amount": receipt.amount,
        "currency": receipt.currency,
    }
    return [f"no {name}" for name, value in given.items() if value is None]


def _refuse_if_executed(attempt: ChargeAttempt) -> None:
    gateway = gateway_named(attempt.gateway)
    assert gateway is not None  # noqa: S101  (the caller asked)
    receipt = _asked(lambda: gateway.query(attempt.gateway_order_id))
    is_executed = receipt is not None and receipt.outcome is Outcome.SUCCEEDED
    if receipt is not None and is_executed and not verdicts.differences(attempt, receipt):
        message = (
            "The gateway says that it was executed: settle it with transaction "
            f"{receipt.transaction_id}."
        )
        raise ResolutionRefusedError(message)


def _asked(question: Callable[[], Receipt | None]) -> Receipt | None:
    try:
        return question()
    except NotImplementedError as exc:
        message = "This gateway cannot be asked for a transaction."
        raise ResolutionRefusedError(message) from exc
    except Exception as exc:  # a gateway's failure is no answer
        logger.warning("A gateway could not be asked: %s", type(exc).__name__)
        message = "The gateway cannot be asked now. Nothing has changed; try again later."
        raise ResolutionRefusedError(message) from exc


def _decide(
    manager: UnifiedSessionManager, attempt: ChargeAttempt, receipt: Receipt, decision: Decision
) -> str:
    source = Source(decided_by=decision.by, reason=decision.reason)
    try:
        settle(manager, attempt.pk, receipt, source)
    except SessionNotFoundError:
        logger.info("The session of charge attempt %s is gone; the attempt is kept", attempt.pk)
    attempt.refresh_from_db()
    return attempt.state

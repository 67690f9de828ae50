"""What a receipt makes of an attempt: the state after it, and what it contradicts.

Pure decisions of T2 (`settling`), which writes what comes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from funnel.conf import get_conf
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import CHECKOUT, UPSELL_PREFIX, ChargeAttempt

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot

State = ChargeAttempt.State
REFUSED: Final = (State.DECLINED, State.REJECTED)
CHARGED: Final = (State.SUCCEEDED, State.SURPLUS, State.REFUNDED, State.VOIDED)
ASKED_FOR: Final = (State.CLAIMED, State.UNKNOWN)
_SHARED: Final = "sharedTransactionId"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a receipt comes from, as far as T2 makes a difference.

    Attributes:
        is_inquiry: the gateway was asked for the attempt, so an inconclusive answer counts.
        decided_by: the member of staff who decided; empty: nobody, the gateway says so.
        reason: why they did.

    """

    is_inquiry: bool = False
    decided_by: str = ""
    reason: str = ""


def state_after(attempt: ChargeAttempt, receipt: Receipt, source: Source) -> str:
    """Return the attempt's state after a receipt; its present one if nothing is new."""
    match receipt.outcome:
        case Outcome.SUCCEEDED:
            return _after_success(attempt, receipt, source)
        case Outcome.VOIDED:
            return _after_void(attempt, receipt)
        case Outcome.UNKNOWN:
            return _after_nothing(attempt, source)
    if not attempt.is_open or (is_known_charged(attempt) and not source.decided_by):
        return attempt.state
    return State.DECLINED if receipt.outcome is Outcome.DECLINED else State.REJECTED


def _after_success(attempt: ChargeAttempt, receipt: Receipt, source: Source) -> str:
    if attempt.state in CHARGED:
        return attempt.state
    others = ChargeAttempt.objects.filter(
        session_id=attempt.session_id, purpose=attempt.purpose, state__in=ChargeAttempt.BLOCKING
    ).exclude(pk=attempt.pk)
    if others.exists():
        return State.SURPLUS
    is_decided = bool(source.decided_by)
    found = differences(attempt, receipt, is_decided=is_decided)
    is_doubted = not is_decided and _says_too_little(attempt, receipt)
    return State.NEEDS_REVIEW if found or is_doubted else State.SUCCEEDED


def _says_too_little(attempt: ChargeAttempt, receipt: Receipt) -> bool:
    """Tell whether a success names no amount where another one was of something else."""
    is_contradicted = attempt.state == State.NEEDS_REVIEW and bool(attempt.discrepancy)
    return is_contradicted and None in {receipt.amount, receipt.currency}


def _after_void(attempt: ChargeAttempt, receipt: Receipt) -> str:
    if attempt.state in CHARGED:
        return attempt.state
    # One transaction was given back, and this attempt has another: that one may stand.
    is_another = attempt.is_open and _names_another(attempt, receipt)
    return State.NEEDS_REVIEW if is_another else State.VOIDED


def _after_nothing(attempt: ChargeAttempt, source: Source) -> str:
    if attempt.state not in ASKED_FOR:
        return attempt.state
    is_enough = attempt.checks + 1 >= get_conf().CHECKS_BEFORE_REVIEW
    return State.NEEDS_REVIEW if source.is_inquiry and is_enough else State.UNKNOWN


def is_known_charged(attempt: ChargeAttempt) -> bool:
    """Tell whether a success was heard of an attempt in review: no later refusal undoes it."""
    is_in_review = attempt.state == State.NEEDS_REVIEW
    return is_in_review and bool(attempt.transaction_id or attempt.discrepancy)


def differences(attempt: ChargeAttempt, receipt: Receipt, *, is_decided: bool = False) -> list[str]:
    """Return what a success says that is not of the sale that was sent; empty: it is as asked.

    ``is_decided``: a person names the transaction, whichever was heard of before.
    """
    found = []
    shared = receipt.response.get(_SHARED)
    if shared:
        found.append(f"transaction {shared}, which is another attempt's")
    elif receipt.transaction_id is None and attempt.state not in CHARGED:
        found.append("no transaction")
    elif not is_decided and _names_another(attempt, receipt):
        found.append(f"transaction {receipt.transaction_id}")
    if receipt.amount is not None and receipt.amount != attempt.amount:
        found.append(f"amount {receipt.amount}")
    if receipt.currency is not None and receipt.currency.upper() != attempt.currency:
        found.append(f"currency {receipt.currency}")
    if receipt.order_id is not None and receipt.order_id != attempt.gateway_order_id:
        found.append(f"order {receipt.order_id}")
    return found


def _names_another(attempt: ChargeAttempt, receipt: Receipt) -> bool:
    return None not in {attempt.transaction_id, receipt.transaction_id} and (
        attempt.transaction_id != receipt.transaction_id
    )


def was_bought(session: SessionSnapshot, attempt: ChargeAttempt, receipt: Receipt) -> bool:
    """Tell whether another transaction has paid for the purpose, given back since or not."""
    paid_by = session.transaction_id
    if attempt.purpose != CHECKOUT:
        offer_id = attempt.purpose.removeprefix(UPSELL_PREFIX)
        if offer_id not in session.upsells.accepted:
            return False
        detail: Any = session.upsells.details.get(offer_id)
        paid_by = detail.get("transactionId") if isinstance(detail, Mapping) else ""
    return paid_by is not None and paid_by != receipt.transaction_id


def contradiction(attempt: ChargeAttempt, receipt: Receipt) -> str:
    """Return, for staff, how a receipt contradicts an attempt; empty: it does not."""
    if receipt.outcome is Outcome.SUCCEEDED:
        found = differences(attempt, receipt)
        if receipt.discrepancy:
            found.append(receipt.discrepancy)
        return f"The gateway says: charged, {', '.join(found)}" if found else ""
    if receipt.outcome is Outcome.VOIDED:
        is_another = attempt.is_open and _names_another(attempt, receipt)
        said = f"voided, transaction {receipt.transaction_id}"
        return f"The gateway says: {said}" if is_another else ""
    is_refusal = receipt.outcome in {Outcome.DECLINED, Outcome.REJECTED}
    is_charged = attempt.state in CHARGED or is_known_charged(attempt)
    return f"The gateway says: {receipt.outcome.value}" if is_refusal and is_charged else ""


def next_question(attempt: ChargeAttempt, now: datetime) -> datetime | None:
    """Return when the gateway is to be asked for an attempt; None: not any more."""
    return now + pause(attempt.checks) if attempt.state in ASKED_FOR else None


def pause(checks: int) -> timedelta:
    """Return how long to wait after a number of inconclusive answers: it doubles each time."""
    # The exponent is bounded; what it gives then is past every sensible limit.
    doubled = timedelta(seconds=get_conf().CHECK_SECONDS * 2 ** min(checks, 30))
    return min(doubled, longest_pause())


def longest_pause() -> timedelta:
    """Return the longest time between two questions."""
    return timedelta(seconds=get_conf().CHECK_LONGEST_SECONDS)

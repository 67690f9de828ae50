"""T2 of a refund: one transaction that writes what became of it, and books what was given back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from funnel.exceptions import RefundRefusedError
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import UPSELL_PREFIX, ChargeAttempt
from funnel.payments.money_log.recording import book_attempt, book_refund
from funnel.payments.notes import TEXT_LENGTH
from funnel.payments.refunds.locking import lock_attempt
from funnel.payments.refunds.models import Refund
from funnel.payments.verdicts import Source, pause
from sessions_unified.clock import get_clock
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager

State = Refund.State
_GATEWAY: Final = Source()
_CHARGED: Final = (ChargeAttempt.State.SUCCEEDED, ChargeAttempt.State.SURPLUS)
MORE_THAN_CHARGED: Final = "More was given back than was charged"


def settle_refund(
    manager: UnifiedSessionManager, refund_id: int, receipt: Receipt, source: Source = _GATEWAY
) -> Refund:
    """Write what became of a refund: T2. Whoever learns it (request, sweeper, webhook) calls it.

    Repeating it is harmless. Money that went back is never dropped, even of a refund that had been
    closed as refused; another amount or currency than asked is left to a person.

    Raises:
        RefundRefusedError: a person (``source``) decides on what is not in review any more.

    """
    attempt_id = Refund.objects.values_list("attempt_id", flat=True).get(pk=refund_id)
    with lock_attempt(manager, attempt_id) as (locked, attempt):
        refund = Refund.objects.select_for_update().get(pk=refund_id)
        refund.attempt = attempt
        state = _state_after(refund, receipt)
        if source.decided_by:
            _record_decision(refund, source)
        if state != refund.state:
            _record(refund, state, receipt)
            if state == State.SUCCEEDED:
                take_back(locked, refund)
        elif not refund.is_open and _is_another(refund, receipt):
            contradict(attempt, f"The gateway tells otherwise of refund {refund.pk}")
        if receipt.discrepancy:
            contradict(attempt, f"Refund {refund.pk}: {receipt.discrepancy}")
        return refund


def take_back(locked: LockedSession | None, refund: Refund) -> None:
    """Book a succeeded refund, close its attempt if nothing is left, and tell the session.

    Inside the transaction that holds the attempt's lock.
    """
    attempt = refund.attempt
    book_attempt(attempt, actor=refund.requested_by)  # one from before the log has no entries yet
    book_refund(refund, actor=refund.requested_by)
    close_if_nothing_left(attempt)
    if locked is not None:
        _tell(locked, refund)


def close_if_nothing_left(attempt: ChargeAttempt) -> None:
    """Close an attempt of which everything was given back; the last refund says how.

    T2 of the charge calls it too: a refund can be told of before the charge itself.
    """
    if attempt.amount is None or not is_given_back(attempt):
        return
    if given_back_of(attempt) > attempt.amount:
        contradict(attempt, MORE_THAN_CHARGED)
    if attempt.state not in _CHARGED:
        return
    last = attempt.refunds.filter(state=State.SUCCEEDED).order_by("settled_at", "pk").last()
    is_void = last is not None and last.kind == Refund.Kind.VOID
    attempt.state = ChargeAttempt.State.VOIDED if is_void else ChargeAttempt.State.REFUNDED
    attempt.save(update_fields=["state"])


def is_given_back(attempt: ChargeAttempt) -> bool:
    """Tell whether nothing is left of an attempt: all of it has been given back."""
    return attempt.amount is not None and given_back_of(attempt) >= attempt.amount


def given_back_of(attempt: ChargeAttempt) -> Decimal:
    """Return what has been given back of an attempt."""
    amounts = attempt.refunds.filter(state=State.SUCCEEDED).values_list("amount", flat=True)
    return quantize(sum(amounts, Decimal(0)), attempt.currency)


def _state_after(refund: Refund, receipt: Receipt) -> str:
    """Return the refund's state after a receipt; its present one if nothing is new."""
    is_void = refund.kind == Refund.Kind.VOID
    given = {Outcome.SUCCEEDED, Outcome.VOIDED} if is_void else {Outcome.SUCCEEDED}
    if receipt.outcome in given and refund.state != State.SUCCEEDED:
        if _is_as_asked(refund, receipt):
            return State.SUCCEEDED
        return State.NEEDS_REVIEW if refund.is_open else refund.state
    if not refund.is_open:
        return refund.state
    if receipt.outcome is Outcome.UNKNOWN:
        return State.UNKNOWN if refund.state == State.CLAIMED else refund.state
    if receipt.outcome in {Outcome.DECLINED, Outcome.REJECTED}:
        return State.REFUSED
    return State.NEEDS_REVIEW  # the refund itself was voided: it did not stay given back


def _is_as_asked(refund: Refund, receipt: Receipt) -> bool:
    return receipt.amount in {None, refund.amount} and receipt.currency in {
        None,
        refund.attempt.currency,
    }


def _is_another(refund: Refund, receipt: Receipt) -> bool:
    """Tell whether a success is not the one that this refund was closed with."""
    if receipt.outcome is not Outcome.SUCCEEDED:
        return False
    names_another = (
        refund.kind == Refund.Kind.REFUND
        and None not in {refund.transaction_id, receipt.transaction_id}
        and refund.transaction_id != receipt.transaction_id
    )
    return names_another or not _is_as_asked(refund, receipt)


def _record_decision(refund: Refund, source: Source) -> None:
    if refund.state != State.NEEDS_REVIEW:
        message = "This refund is not in review any more."
        raise RefundRefusedError(message)
    refund.resolved_by = source.decided_by[:150]
    refund.resolved_reason = source.reason[:500]


def _record(refund: Refund, state: str, receipt: Receipt) -> None:
    now = get_clock().now()
    refund.state = state
    refund.transaction_id = receipt.transaction_id or refund.transaction_id
    refund.reason = receipt.reason[:200]
    refund.response = dict(receipt.response)
    refund.settled_at = None if refund.is_open else now
    refund.review_since = now if state == State.NEEDS_REVIEW else None
    refund.next_check_at = now + pause(refund.checks) if state == State.UNKNOWN else None
    refund.save()


def contradict(attempt: ChargeAttempt, text: str) -> None:
    """Keep, for staff, what does not fit the charge."""
    attempt.discrepancy = attempt.discrepancy or text[:TEXT_LENGTH]
    attempt.save(update_fields=["discrepancy"])


def _tell(locked: LockedSession, refund: Refund) -> None:
    attempt = refund.attempt
    data: dict[str, Any] = {
        "purpose": attempt.purpose,
        "amount": str(refund.money),
        "currency": attempt.currency,
        "kind": refund.kind,
        "refund": refund.gateway_order_id,
    }
    if not _is_of_order(locked, attempt):
        data["surplus"] = True  # what the session has stays paid: another charge has paid for it
    is_void = refund.kind == Refund.Kind.VOID
    kind = "charge_voided" if is_void else "charge_refunded"
    locked.update(_details(locked, attempt), kind=kind, data=data, checks_flow=False)


def _is_of_order(locked: LockedSession, attempt: ChargeAttempt) -> bool:
    """Tell whether the session's copy names this charge; a surplus one it does not."""
    session = locked.session
    if not attempt.purpose.startswith(UPSELL_PREFIX):
        return session.transaction_id == attempt.transaction_id
    detail: Any = session.upsells.details.get(attempt.purpose.removeprefix(UPSELL_PREFIX))
    return isinstance(detail, dict) and detail.get("transactionId") == attempt.transaction_id


def _details(locked: LockedSession, attempt: ChargeAttempt) -> dict[str, Any]:
    """Return the change that notes on an accepted offer what was given back of it.

    The offer stays accepted, so that its step is not opened again.
    """
    if not attempt.purpose.startswith(UPSELL_PREFIX) or not _is_of_order(locked, attempt):
        return {}
    upsells = locked.session.upsells
    offer_id = attempt.purpose.removeprefix(UPSELL_PREFIX)
    noted = {**upsells.details[offer_id], "refundedAmount": float(given_back_of(attempt))}
    return {
        "upsells": {
            "accepted": list(upsells.accepted),
            "declined": list(upsells.declined),
            "details": {**upsells.details, offer_id: noted},
        }
    }

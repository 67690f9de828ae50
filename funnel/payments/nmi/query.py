"""NMI's ``query.php``: what its records say became of a sale or a reversal. Pure functions.

A record counts only if all of it says the same. What is under way, unclear or contradictory is
``UNKNOWN``: inconclusive, to be asked for again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.nmi import codes
from funnel.payments.nmi.elements import parse
from funnel.payments.nmi.exceptions import NmiAnswerError, NmiQueryError
from funnel.payments.nmi.sanitising import clean, identifier
from funnel.payments.nmi.wire import REFUND, SALE, TRANSACTION_ID, VOID
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from funnel.payments.nmi.elements import Element

_OK: Final = 200
_TAKEN: Final = ("pendingsettlement", "complete")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,4})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_REFUSED: Final = (Outcome.DECLINED, Outcome.REJECTED)


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that was tried with a transaction; what is not said is empty."""

    kind: str
    amount: str
    success: str
    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One transaction of NMI's; what is not said, or said twice, is empty."""

    transaction_id: str
    order_id: str
    condition: str
    currency: str
    actions: tuple[Action, ...]

    def of_kind(self, kind: str) -> list[Action]:
        """Return the actions of a kind."""
        return [action for action in self.actions if action.kind == kind]


def read(status_code: int, body: bytes) -> list[Record]:
    """Return the records of an answer; none: there are none.

    Raises:
        NmiAnswerError: it is no answer of NMI.
        NmiQueryError: it is an error.

    """
    if status_code != _OK:
        raise NmiAnswerError(f"NMI's query answered HTTP {status_code}. Ask again later.")
    root = parse(body)
    errors = [root] if root.name == "error_response" else root.all("error_response")
    if errors:
        raise NmiQueryError(f"NMI answered a query by an error: {clean(errors[0].text)}")
    records = root.all("transaction")
    if root.name != "nm_response" or root.text or len(records) != len(root.children):
        raise NmiAnswerError
    return [_record(element) for element in records]


def _record(element: Element) -> Record:
    return Record(
        transaction_id=element.said("transaction_id"),
        order_id=element.said("order_id"),
        condition=element.said("condition"),
        currency=element.said("currency"),
        actions=tuple(_action(each) for each in element.all("action")),
    )


def _action(element: Element) -> Action:
    return Action(
        kind=element.said("action_type"),
        amount=element.said("amount"),
        success=element.said("success"),
        code=element.said("response_code"),
        text=element.said("response_text"),
    )


def receipt_of_order(
    records: Sequence[Record], order_id: str, *, kind: str = SALE
) -> Receipt | None:
    """Return what became of our order id: any success wins; None if there is no record.

    ``kind``: what the order id was sent for, a sale or a refund.
    """
    if not records:
        return None
    receipts = [
        _receipt(record, kind)
        if record.order_id == order_id
        else _unclear(record, "Another order was answered")
        for record in records
    ]
    return _together(receipts)


def receipt_of_transaction(records: Sequence[Record], transaction_id: str) -> Receipt | None:
    """Return what became of a sale; None if there is no record."""
    if not records:
        return None
    record = records[0]
    if len(records) > 1 or record.transaction_id != transaction_id:
        return _unclear(record, "Another transaction was answered")
    return _receipt(record, SALE)


def receipt_of_void(records: Sequence[Record], transaction_id: str) -> Receipt | None:
    """Return what became of the void of a sale; None if there is no record of the sale."""
    sale = receipt_of_transaction(records, transaction_id)
    if sale is None:
        return None
    is_settled = sale.outcome is Outcome.SUCCEEDED and records[0].condition == "complete"
    outcome, reason = Outcome.UNKNOWN, "The sale is not voided yet"
    if sale.outcome is Outcome.VOIDED:
        outcome, reason = Outcome.SUCCEEDED, "The sale is voided"
    elif is_settled:
        outcome, reason = Outcome.REJECTED, "The sale is settled and cannot be voided: refund it"
    return replace(sale, outcome=outcome, reason=reason)


def _together(receipts: Sequence[Receipt]) -> Receipt:
    """Return what several records of one order id say."""
    for outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN, Outcome.VOIDED, *_REFUSED):
        found = [receipt for receipt in receipts if receipt.outcome is outcome]
        if outcome is Outcome.SUCCEEDED and len(found) > 1:
            reason = f"{len(found)} transactions of this order succeeded"
            names = ", ".join(str(receipt.transaction_id) for receipt in found)
            return replace(found[0], reason=reason, discrepancy=f"{reason}: {names}")
        if found:
            return found[0]
    raise AssertionError  # pragma: no cover  (there is at least one, and these are all outcomes)


def _receipt(record: Record, kind: str) -> Receipt:
    tried = record.of_kind(kind)
    if not tried or not TRANSACTION_ID.fullmatch(record.transaction_id):
        return _unclear(record, f"The record names no {kind}")
    outcome = _outcome(record, tried, is_voided=_is_voided(record))
    amount = _amount(tried[-1].amount, record.currency, is_refund=kind == REFUND)
    if amount is None and outcome in {Outcome.SUCCEEDED, Outcome.VOIDED}:
        return _unclear(record, "The record names no amount")
    code, text = clean(tried[-1].code), clean(tried[-1].text)
    return Receipt(
        outcome=outcome,
        transaction_id=record.transaction_id,
        amount=amount,
        currency=record.currency if amount is not None else None,
        reason=f"{clean(record.condition)}: {text} ({code})",
        response=_response(record) | {"response_code": code, "responsetext": text},
        order_id=identifier(record.order_id) or None,
    )


def _outcome(record: Record, tried: Sequence[Action], *, is_voided: bool) -> Outcome:
    if [action.success for action in tried] == ["1"] and tried[0].code == codes.APPROVED:
        if record.condition in _TAKEN and not is_voided:
            return Outcome.SUCCEEDED
        if record.condition == "canceled" and is_voided:
            return Outcome.VOIDED
    if record.condition != "failed" or is_voided or any(each.success != "0" for each in tried):
        return Outcome.UNKNOWN
    if all(codes.is_decline(action.code) for action in tried):
        return Outcome.DECLINED
    # A record of our own order id that failed as a duplicate is what became of it: nothing.
    refused = codes.REFUSED | {codes.RATE_LIMITED}
    is_final = all(each.code in refused or codes.is_decline(each.code) for each in tried)
    return Outcome.REJECTED if is_final else Outcome.UNKNOWN


def _is_voided(record: Record) -> bool:
    return any(action.success == "1" for action in record.of_kind(VOID))


def _amount(text: str, currency: str, *, is_refund: bool) -> Decimal | None:
    """Return an amount, with its currency's decimals unless it has more; None: none is named."""
    # A refund's may be written as what it takes from the merchant: below 0.
    text = text.removeprefix("-") if is_refund else text
    if not _AMOUNT.fullmatch(text) or not _CURRENCY.fullmatch(currency):
        return None
    amount = Decimal(text)
    exact = quantize(amount, currency)
    return (exact if exact == amount else amount) if amount > 0 else None


def _unclear(record: Record, reason: str) -> Receipt:
    return Receipt(outcome=Outcome.UNKNOWN, reason=reason, response=_response(record))


def _response(record: Record) -> dict[str, str]:
    return {"condition": clean(record.condition)} if record.condition else {}

"""NMI's ``transact.php``: what is sent, and what its answers mean. Pure functions.

An answer counts only if it is whole and says one thing. Everything else is unknown, and is asked
for by our order id: a false "declined" would let a shopper pay twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.nmi import codes
from funnel.payments.nmi.exceptions import NmiNotSentError
from funnel.payments.nmi.sanitising import clean
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Collection
    from decimal import Decimal

    from funnel.payments.gateway import Reversal, Sale

SALE: Final = "sale"
REFUND: Final = "refund"
VOID: Final = "void"

_OK: Final = 200
_TOO_MANY_REQUESTS: Final = 429
_MAX_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 200
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
TRANSACTION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

# What an answer is judged by; none of them may come twice.
_JUDGED: Final = ("response", "response_code", "responsetext", "transactionid", "orderid", "type")
_KEPT: Final = (
    *("response", "response_code", "responsetext", "type"),
    *("authcode", "avsresponse", "cvvresponse"),
)
_HIDDEN: Final = ("payment_token", "customer_vault_id", "email", "phone", "ipaddress")
_CUSTOMER: Final = {"first_name": "firstName", "last_name": "lastName", "phone": "phone"}
_ADDRESS: Final = {
    "address1": "line1",
    **{name: name for name in ("city", "state", "zip", "country")},
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is posted, but for the merchant's key. Its repr shows nothing of it."""

    fields: Mapping[str, str] = field(repr=False)

    @property
    def hidden(self) -> tuple[str, ...]:
        """What opens a card or names a person, and must not be repeated in any receipt."""
        return tuple(self.fields[name] for name in _HIDDEN if name in self.fields)

    def encoded(self, security_key: str) -> bytes:
        """Return the body of the request."""
        fields = {"security_key": security_key, **self.fields}
        return urlencode(fields, errors="replace").encode()


def sale_form(sale: Sale, *, dup_seconds: int | None = None) -> Form:
    """Return the form of a card's first sale, or of one of the vault's.

    Raises:
        NmiNotSentError: the sale cannot be expressed; nothing has been sent.

    """
    if not sale.vault_id:
        raise NmiNotSentError("The sale names no stored card, so nothing was sent.")
    fields = {
        "type": SALE,
        "amount": amount_text(sale.amount, sale.currency),
        "currency": sale.currency,
        "orderid": sale.order_id,
        "customer_vault_id": sale.vault_id,
        "initiated_by": "customer",
    }
    if sale.description:
        fields["order_description"] = sale.description
    if sale.address:
        fields["ipaddress"] = sale.address
    if sale.payment_token is None:
        fields["stored_credential_indicator"] = "used"
        if dup_seconds is not None:
            fields["dup_seconds"] = str(dup_seconds)
        return Form(fields=fields)
    fields |= {
        "payment_token": sale.payment_token,
        "customer_vault": "add_customer",
        "stored_credential_indicator": "stored",
    }
    return Form(fields=fields | _person(sale.customer or {}, sale.email))


def reversal_form(reversal: Reversal) -> Form:
    """Return the form of a void or a refund.

    A refund carries our own order id, so that a lost answer can be asked for; a void changes the
    sale's own record, so that is asked for.

    Raises:
        NmiNotSentError: the reversal cannot be expressed; nothing has been sent.

    """
    if reversal.is_void:
        return Form(fields={"type": VOID, "transactionid": reversal.transaction_id})
    return Form(
        fields={
            "type": REFUND,
            "transactionid": reversal.transaction_id,
            "amount": amount_text(reversal.amount, reversal.currency),
            "orderid": reversal.order_id,
        }
    )


def amount_text(amount: Decimal, currency: str) -> str:
    """Return an amount with exactly its currency's decimals.

    Raises:
        NmiNotSentError: it has more of them, or is not above 0; rounding would charge another sum.

    """
    if not amount.is_finite() or amount <= 0 or quantize(amount, currency) != amount:
        raise NmiNotSentError(f"This is no amount to send in {currency}, so nothing was sent.")
    return f"{quantize(amount, currency):f}"


def _person(customer: Mapping[str, Any], email: str | None) -> dict[str, str]:
    given = customer.get("address")
    address: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    found = {
        **{name: customer.get(ours) for name, ours in _CUSTOMER.items()},
        **{name: address.get(ours) for name, ours in _ADDRESS.items()},
        "email": email,
    }
    return {name: text for name, text in found.items() if isinstance(text, str) and text}


def classify(
    status_code: int,
    body: bytes,
    *,
    order_id: str | None = None,
    kind: str = SALE,
    hidden: Collection[str] = (),
) -> Receipt:
    """Return what an answer of ``transact.php`` says. Never raises.

    ``order_id``: what was sent; an answer that names another is not ours. ``kind``: what was
    asked for. ``hidden``: secrets that the receipt must not repeat.
    """
    fields = _parse(body)
    if fields is None:
        # A limiter answers instead of forwarding, and 429 says so: nothing was executed. But if
        # the body seems to be an answer after all, there is no telling.
        if status_code == _TOO_MANY_REQUESTS and b"response" not in body.lower():
            return Receipt(outcome=Outcome.REJECTED, reason="Too many requests (HTTP 429)")
        return Receipt(outcome=Outcome.UNKNOWN, reason=f"No answer of NMI (HTTP {status_code})")
    is_ours = _is_of(fields, order_id, kind)
    outcome = _outcome(status_code, fields) if is_ours else Outcome.UNKNOWN
    # Of a doubtful answer the transaction id is in doubt too: it may be cut short, or another's.
    named = "" if outcome is Outcome.UNKNOWN else fields.get("transactionid", "")
    return Receipt(
        outcome=outcome,
        transaction_id=named if TRANSACTION_ID.fullmatch(named) else None,
        reason=_reason(outcome, status_code, fields, hidden),
        response={name: clean(fields[name], hidden) for name in _KEPT if name in fields},
        order_id=_order_of(fields, order_id, hidden),
    )


def _order_of(
    fields: Mapping[str, str], order_id: str | None, hidden: Collection[str]
) -> str | None:
    """Return what the answer calls the order: ours exactly, another one cleaned."""
    said = fields.get("orderid", "")
    return (said if said == order_id else clean(said, hidden)) or None


def _parse(body: bytes) -> dict[str, str] | None:
    """Return the fields of a well-formed answer; None for anything else."""
    if len(body) > _MAX_BYTES:
        return None
    try:
        text = body.decode().strip()
        pairs = [] if _BROKEN_ESCAPE.search(text) else _pairs(text)
    except ValueError:
        return None
    fields = dict(pairs)
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in _JUDGED) or "response" not in fields:
        return None
    return fields


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(
        text,
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=_MAX_FIELDS,
    )


def _is_of(fields: Mapping[str, str], order_id: str | None, kind: str) -> bool:
    """Tell whether an answer is to what was sent. What it leaves empty, it does not say."""
    named = fields.get("orderid", "")
    is_ours = order_id is None or named in {"", order_id}
    return is_ours and fields.get("type", "") in {"", kind}


def _outcome(status_code: int, fields: Mapping[str, str]) -> Outcome:
    response, code = fields["response"], fields.get("response_code", "")
    text, transaction_id = fields.get("responsetext", ""), fields.get("transactionid", "")
    if status_code == _TOO_MANY_REQUESTS and code != codes.RATE_LIMITED:
        return Outcome.UNKNOWN
    if status_code not in {_OK, _TOO_MANY_REQUESTS} or codes.is_duplicate(text):
        return Outcome.UNKNOWN
    if response == "1" and code == codes.APPROVED and TRANSACTION_ID.fullmatch(transaction_id):
        return Outcome.SUCCEEDED
    if response == "2" and codes.is_decline(code):
        return Outcome.DECLINED
    if response == "3" and codes.is_refusal(code, text):
        # What was turned away at the door has no transaction.
        is_contradiction = code == codes.RATE_LIMITED and transaction_id
        return Outcome.UNKNOWN if is_contradiction else Outcome.REJECTED
    return Outcome.UNKNOWN


def _reason(
    outcome: Outcome, status_code: int, fields: Mapping[str, str], hidden: Collection[str]
) -> str:
    text = clean(fields.get("responsetext", ""), hidden)
    code = clean(fields.get("response_code", ""), hidden)
    said = f"{text} ({code})" if text and code else text or code or f"HTTP {status_code}"
    return f"In doubt: {said}" if outcome is Outcome.UNKNOWN else said

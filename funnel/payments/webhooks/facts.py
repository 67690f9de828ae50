"""What is kept of an event: names, amounts and codes; no card, no person, no vault."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from funnel.payments.nmi.sanitising import clean, identifier

_LONGEST: Final = {"event_id": 100, "event_type": 64, "order_id": 100, "transaction_id": 100}
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,4})?")
_GIVE_BACK: Final = ("refund", "credit")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_KEPT: Final = {
    "condition": "condition",
    "currency": "currency",
    "original_transaction_id": "originalTransactionId",
}
_KEPT_OF_ACTION: Final = {
    "amount": "amount",
    "action_type": "action",
    "success": "success",
    "response_code": "code",
    "response_text": "text",
}


MALFORMED: Final = "Send a JSON object with event_id, event_type and event_body."


class MalformedEventError(ValueError):
    """The body is not an event."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event, as far as we use it.

    Attributes:
        facts: what is kept of its body, all text.

    """

    event_id: str
    event_type: str
    order_id: str = ""
    transaction_id: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def read(body: bytes) -> Event:
    """Return the event in a request's body.

    Raises:
        MalformedEventError: there is none.

    """
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
        raise MalformedEventError from exc
    if not isinstance(content, dict):
        raise MalformedEventError
    event_id = _name(content, "event_id")
    event_type = _name(content, "event_type")
    details = content.get("event_body")
    if not event_id or not event_type or not isinstance(details, dict):
        raise MalformedEventError
    return Event(
        event_id=event_id,
        event_type=event_type,
        order_id=_name(details, "order_id"),
        transaction_id=_name(details, "transaction_id"),
        facts=_facts(details),
    )


def _name(content: dict[str, Any], field_name: str) -> str:
    """Return an identifier; one that does not fit is none: with less of it it would be another."""
    given = content.get(field_name)
    text = _text(given)
    is_whole = len(text) <= _LONGEST[field_name] and str(given).strip(" ") == text
    return text if is_whole else ""


def _facts(details: dict[str, Any]) -> dict[str, str]:
    action = details.get("action")
    found = {name: _text(details.get(given)) for given, name in _KEPT.items()}
    if isinstance(action, dict):
        found |= {name: _text(action.get(given)) for given, name in _KEPT_OF_ACTION.items()}
        found["currency"] = found["currency"] or _text(action.get("currency"))
    kept = {name: clean(text) for name, text in found.items() if text}
    if original := found["originalTransactionId"]:
        kept["originalTransactionId"] = identifier(original)
    return kept


def _text(value: object) -> str:
    """Return a text or a number as text that the database can keep; all else is nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return "".join(each for each in str(value) if each.isprintable()).strip()


def amount_of(facts: dict[str, str]) -> Decimal | None:
    """Return what an event says was charged, or given back; None if it does not say."""
    text = facts.get("amount", "")
    if facts.get("action") in _GIVE_BACK:
        text = text.removeprefix("-")  # it may be written as what it takes from the merchant
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def currency_of(facts: dict[str, str]) -> str | None:
    """Return the currency that an event names; None if it names none."""
    text = facts.get("currency", "")
    return text.upper() if _CURRENCY.fullmatch(text) else None

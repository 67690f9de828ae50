"""Single values of legacy records, read with care: text, moments, numbers, arbitrary JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sessions_unified.card_data import mask_numbers
from sessions_unified.jsonb import as_stored
from sessions_unified.money import quantize

# Deeper JSON is kept as its own text: whoever reads a session must not run out of stack.
_MAX_DEPTH: Final = 64
# What a double can hold: readers of a session's JSON parse numbers so.
_MAX_EXPONENT: Final = 300
# What the columns of amounts hold, and far more than an order is worth.
_MAX_AMOUNT: Final = Decimal(10) ** 15
# RFC 5321: 64 + @ + 255.
_MAX_EMAIL: Final = 320
_EXACT: Final = 2**53
_MAX_QUOTED: Final = 40
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# Years outside are no dates of a shop, and arithmetic on them overflows.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9998


def storable_text(value: str) -> str:
    """Return text that PostgreSQL can store: NUL and lone surrogates are spelled out."""
    # What can be printed can be stored, and is told sooner.
    if value.isprintable() or _UNSTORABLE.search(value) is None:
        return value
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def storable(value: Any, *, depth: int = 0) -> Any:
    """Return JSON that can be stored and read again, with everything that ``value`` says."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, (int, float, Decimal)):  # a union takes longer
        return _storable_number(value)
    if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
        return storable_text(json.dumps(value, default=str))
    if isinstance(value, dict):
        # Most of it is short text: a call for each is what costs.
        return {
            name if name.isprintable() else storable_text(name): item
            if type(item) is str and item.isprintable()
            else storable(item, depth=depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [storable(item, depth=depth + 1) for item in value]
    return value


def _storable_number(value: float | Decimal) -> Any:
    # What every row has, and nothing can be wrong with.
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < _EXACT):
        return value
    exact = Decimal(value)
    if not exact.is_finite() or abs(exact.adjusted()) > _MAX_EXPONENT:
        return str(value)
    # A decimal with a fraction stays: the database keeps digits that a double has no room for.
    is_fraction = isinstance(value, Decimal) and exact.as_tuple().exponent < 0  # type: ignore[operator]  # finite
    return value if is_fraction else as_stored(value)


def unwrapped(value: Any) -> Any:
    """Return what a JSON text says: some code stored JSON as a string inside JSON."""
    if not isinstance(value, str) or value[:1].isalnum() or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return json.loads(value, parse_float=Decimal, parse_int=integer)
    except (ValueError, ArithmeticError, RecursionError):  # a decimal has the second for no number
        return value


def integer(digits: str) -> int | Decimal:
    """Return a JSON integer; one of absurd length as a Decimal, which has no limit on it."""
    return int(digits) if len(digits) <= _MAX_EXPONENT else Decimal(digits)


def optional_text(value: Any) -> str | None:
    """Return text; None for what is missing, empty or blank, and for a yes or no: it is no id."""
    if value is None or isinstance(value, bool | dict | list):
        return None
    return storable_text(str(value)).strip() or None


def email_address(value: Any) -> str:
    """Return the address as it is, apart from NFC and surrounding space.

    Raises:
        ValueError: it is missing or no address; the message says why without quoting it.

    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is missing")
    email = unicodedata.normalize("NFC", value).strip()
    name, at, domain = email.rpartition("@")
    if not at:
        raise ValueError("has no @")
    if not name or not all(domain.split(".")):
        raise ValueError("has nothing before or after its @, or an empty part of the domain")
    # Of all white space the plain space alone is printable.
    if "@" in name or " " in email or not email.isprintable():
        raise ValueError("holds a second @, a space or a control character")
    if len(email) > _MAX_EMAIL:
        raise ValueError("is longer than an address can be")
    return email


def moment(value: Any) -> datetime:
    """Return an ISO 8601 date with time, aware, in UTC; without a zone it is taken as UTC.

    Raises:
        ValueError: it is missing or no such date; the message says which.

    """
    if value is None or value == "":
        raise ValueError("is missing")
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as exc:
        said = quoted(value)
        raise ValueError(f"is no date: {said}" if said else "is no date") from exc
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"is out of range: {found.isoformat()}")
    return found


def quoted(value: Any) -> str:
    """Return what is wrong as a reason may quote it: one word; nothing of what may be a person's.

    Reasons are kept with the findings of a backfill, and shown.
    """
    said = mask_numbers(repr(value))[:_MAX_QUOTED]
    return "" if any(each.isspace() or each == "@" for each in said) else said


def money(value: Any, currency: str) -> Decimal | None:
    """Return a number or its text as an amount of ``currency``; None if it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        exact = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not exact.is_finite() or exact.adjusted() >= _MAX_AMOUNT.adjusted():
        return None
    return quantize(exact, currency)


def is_same_number(value: Any, amount: Decimal | None) -> bool:
    """Tell whether nothing was lost when ``value`` was read as ``amount``."""
    if value is None or amount is None:
        return value is amount
    exact = value if isinstance(value, int | Decimal) else Decimal(str(value).strip())
    return bool(exact == amount)

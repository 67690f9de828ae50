"""A snapshot as a database row, and back: the one place that knows columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sessions_unified.money import quantize
from sessions_unified.sealing import COLUMNS as SEALED
from sessions_unified.sealing import seal, unseal
from sessions_unified.snapshot import (
    EMPTY,
    FrozenDict,
    Product,
    SessionSnapshot,
    Upsells,
    decode_hook,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SESSIONS: Final = "sessions_unified_unifiedsession"
EVENTS: Final = "sessions_unified_sessionevent"

FIELDS: Final = SessionSnapshot.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)
JSON_FIELDS: Final = frozenset({"customer", "products", "upsells", "metadata"})

# What a tombstone forgets: everything personal, and everything that opens a card.
BLANK: Final = (
    "email = NULL, customer = NULL, products = '[]', metadata = '{}', upsells = '{}', "
    "vault_id = NULL, payment_token = NULL, transaction_id = NULL"
)

NO_UPSELLS: Final = Upsells()

_numbers = msgspec.json.Encoder(decimal_format="number")
_products = msgspec.json.Decoder(tuple[Product, ...], dec_hook=decode_hook)
_upsells = msgspec.json.Decoder(Upsells, dec_hook=decode_hook)
_object = msgspec.json.Decoder(FrozenDict, dec_hook=decode_hook)


def placeholder(name: str) -> str:
    """Return the parameter marker of a column."""
    return "%s::jsonb" if name in JSON_FIELDS else "%s"


PLACEHOLDERS: Final = tuple(placeholder(name) for name in FIELDS)


def to_params(session: SessionSnapshot, names: Iterable[str] = FIELDS) -> list[Any]:
    """Return the columns' values in the order of their names, JSON as text."""
    values = []
    for name in names:
        value = getattr(session, name)
        if name in JSON_FIELDS and value is not None:
            value = _numbers.encode(value).decode()
        elif name in SEALED and value is not None:
            value = seal(value)
        values.append(value)
    return values


def from_row(row: Sequence[Any]) -> SessionSnapshot:
    """Return the snapshot of a row whose columns are `COLUMNS`, in order."""
    values = dict(zip(FIELDS, row, strict=True))
    amount = values["amount"]
    customer = values["customer"]
    values["amount"] = None if amount is None else quantize(amount, values["currency"])
    values["customer"] = None if customer is None else _object.decode(customer)
    values["products"] = _products.decode(values["products"])
    upsells = values["upsells"]
    values["upsells"] = NO_UPSELLS if upsells == "{}" else _upsells.decode(upsells)
    metadata = values["metadata"]
    values["metadata"] = EMPTY if metadata == "{}" else _object.decode(metadata)
    for name in SEALED:
        if values[name] is not None:
            values[name] = unseal(values[name])
    for name in ("created_at", "updated_at", "expires_at"):
        values[name] = _utc(values[name])
    return SessionSnapshot(**values)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)

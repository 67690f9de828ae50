"""What of a browser's word may become part of its own session, and only where that lacks it.

Everything else that an entry says is compared, never copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from rest_framework.exceptions import ValidationError

from legacy_adapters.fields import values
from legacy_adapters.fields.reading import is_secret
from legacy_adapters.merging.person import is_empty
from sessions_unified.api.problems import flatten
from sessions_unified.api.serializers import MAX_LINES, MAX_QUANTITY, CustomerSerializer
from sessions_unified.card_data import find_card_data
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import CardDataError, InvalidChangeError
from sessions_unified.flow import PENDING
from sessions_unified.pricing import get_pricer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from legacy_adapters.base import LegacyRecord
    from sessions_unified.snapshot import Product, SessionSnapshot

_MAX_TEXT: Final = 200
_MAX_ID: Final = 64
_FIELD: Final = "customerInfo"
# What the server gives a customer: the old shop signed it into its cookie.
_SERVERS: Final = frozenset({"customerId"})


class Refusals:
    """What was not taken, each once: (code, sentence)."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], None] = {}

    def add(self, code: str, reason: str) -> None:
        """Note one."""
        self.told[code, reason] = None


def lacking_customer(
    session: SessionSnapshot, merged: SessionSnapshot, record: LegacyRecord, refusals: Refusals
) -> dict[str, Any] | None:
    """Return the change that adds what only the browser knows of the customer; None: nothing.

    ``merged`` has been through the rules of merging; ``record`` is the entry as it was sent.
    """
    before: Mapping[str, Any] = session.customer or {}
    offered: Mapping[str, Any] = merged.customer or {}
    said = values.storable(values.unwrapped(record.data.get(_FIELD)))
    raw: Mapping[str, Any] = said if isinstance(said, dict) else {}
    added = {
        name: value
        for name, value in offered.items()
        if is_empty(before.get(name)) and not is_empty(value)
    }
    for name in list(added):
        for code, reason in _objections(name, raw.get(name, added[name])):
            refusals.add(code, reason)
            added.pop(name, None)
    after = {**before, **added}
    if added and len(msgspec.json.encode(after)) > get_conf().METADATA_MAX_BYTES:
        refusals.add("refused_customer", f"{_FIELD}: it is too large.")
        return None
    return {"customer": after} if added else None


def _objections(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield why a key of the customer is not copied; the API takes it by the same rules."""
    shown = f"{_FIELD}.{ascii(name)[1:-1][:_MAX_ID]}"
    if find_card_data({name: value}) is not None:
        yield CardDataError.code, f"{_FIELD}: {CardDataError.__doc__}"
        return
    field = CustomerSerializer().fields.get(name)
    if field is not None:
        try:
            field.run_validation(value)
        except ValidationError as exc:
            for each in flatten(exc.detail, shown):
                yield "refused_customer", f"{each['field']}: {each['message']}"
    elif name in _SERVERS or is_secret(name) or len(name) > _MAX_ID or not _is_small(value):
        yield "refused_customer", f"{shown}: this is not taken from a browser."


def _is_small(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return isinstance(value, bool | int | float)


def lacking_order(
    session: SessionSnapshot, entry: SessionSnapshot, refusals: Refusals
) -> dict[str, Any] | None:
    """Return the change that adds the products that only the browser knows, at our prices.

    None: the session has products, or is past its checkout, or these cannot be sold.
    """
    pricer = get_pricer()
    wanted = orderable(entry.products)
    if session.status != PENDING or session.products or not wanted or pricer is None:
        return None
    try:
        lines, amount, currency = pricer(wanted)
    except InvalidChangeError as exc:
        refusals.add(exc.code, f"products: {exc}")
        return None
    return {"products": [dict(line) for line in lines], "amount": amount, "currency": currency}


def orderable(products: Sequence[Product]) -> list[dict[str, Any]]:
    """Return the lines that the API would take: id and quantity, and no price."""
    lines = [
        {"id": product.id, "quantity": product.quantity}
        for product in products
        if 1 <= product.quantity <= MAX_QUANTITY and len(product.id) <= _MAX_ID
    ]
    return lines[:MAX_LINES]

"""Values in conflict as they may be shown and kept: no personal data, nothing that opens a card.

Statuses, steps, sums, offers and dates stand plainly. An address is masked, references are cut to
their last characters, and of customers and metadata only the names of the keys that differ stay.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.card_data import find_card_data
from sessions_unified.masking import mask_email
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from legacy_adapters.stores import Store
    from sessions_unified.snapshot import Product, Upsells

_SHOWN: Final = 4
_CUT: Final = "…"
# What a browser sends is as long as it likes.
_MAX_TEXT: Final = 64
_MAX_ITEMS: Final = 20


def redacted(field: str, values: Mapping[Store, Any]) -> dict[Store, Any]:
    """Return what each store says in a field, as JSON that may be kept."""
    if field in {"customer", "metadata"}:
        return _differing_keys(values)
    show = _SHOW.get(field, _plain)
    return {store: None if value is None else show(value) for store, value in values.items()}


def reference(value: str) -> str:
    """Return the end of a gateway's reference; of a short one nothing."""
    return f"{_CUT}{value[-_SHOWN:]}" if len(value) > 2 * _SHOWN else _CUT


def _secret(_: Any) -> str:
    return _CUT


def _offers(upsells: Upsells) -> dict[str, list[str]]:
    return {
        "accepted": [_text(offer) for offer in upsells.accepted[:_MAX_ITEMS]],
        "declined": [_text(offer) for offer in upsells.declined[:_MAX_ITEMS]],
    }


def _lines(products: tuple[Product, ...]) -> list[dict[str, Any]]:
    return [
        {"id": _text(each.id), "quantity": each.quantity, "price": _plain(each.price)}
        for each in products[:_MAX_ITEMS]
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """Return a name or an id as it is; of one that is an address, or a card's number, nothing."""
    if "@" in value or find_card_data(value) is not None:
        return _CUT
    return value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}{_CUT}"


def _differing_keys(values: Mapping[Store, Any]) -> dict[Store, Any]:
    """Return of each store the names of its keys that others do not have so."""
    flat = {store: _by_name(value or {}) for store, value in values.items()}
    names = {name for each in flat.values() for name in each}
    apart = {name for name in names if len({repr(each.get(name)) for each in flat.values()}) > 1}
    return {
        store: sorted(_text(name) for name in apart & each.keys())[:_MAX_ITEMS]
        for store, each in flat.items()
    }


def _by_name(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by key; what the stores keep, by store."""
    found = dict(value)
    kept = found.pop(INTERNAL_METADATA, None)
    inner = kept if isinstance(kept, dict) else {}
    return found | {f"{INTERNAL_METADATA}.{store}": each for store, each in inner.items()}


_SHOW: Final[Mapping[str, Callable[[Any], Any]]] = {
    "email": mask_email,
    "vault_id": reference,
    "transaction_id": reference,
    "payment_token": _secret,
    "upsells": _offers,
    "products": _lines,
}

"""A row of ``funnel_sessions`` as a session: a pure function, and the rules it keeps.

What has no place in a session stays under ``legacy`` in its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters import values
from legacy_adapters.base import MASKED
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.lines import read_products
from legacy_adapters.steps import proven_step
from sessions_unified.card_data import find_card_data, mask_card_data
from sessions_unified.flow import PENDING, STATUSES, FlowTable
from sessions_unified.ids import is_session_id
from sessions_unified.snapshot import FrozenDict, SessionSnapshot, Upsells, freeze

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

COLUMNS: Final = (
    *("id", "email", "customer_info", "products", "status", "amount", "current_step"),
    *("upsells_accepted", "upsells_declined", "vault_id", "transaction_id", "payment_token"),
    *("created_at", "updated_at", "expires_at"),
)
# A gateway's own references may look like anything, and money hangs on them.
_REFERENCES: Final = frozenset({"id", "vault_id", "transaction_id"})
# Metadata is the shopper's to see; what opens a card is not.
_SECRET_WORDS: Final = ("vault", "token", "card", "cvv", "cvc", "secret", "password", "pan")


def to_session(row: Mapping[str, Any], *, flow: FlowTable, currency: str) -> SessionSnapshot:
    """Return the session that a row (column → value, JSON parsed) describes.

    Raises:
        UnreadableRecordError: id, email, status or dates are missing or invalid.

    """
    try:
        return _to_session(row, flow=flow, currency=currency)
    except RecursionError:
        raise UnreadableRecordError("its JSON is nested too deeply") from None


def _to_session(row: Mapping[str, Any], *, flow: FlowTable, currency: str) -> SessionSnapshot:
    row, masked = _without_card_data(row)
    kept: dict[str, Any] = _unknown_columns(row)
    if masked:
        kept[MASKED] = masked
    session_id, status = _session_id(row.get("id")), _status(row.get("status"))
    products, odd_products = read_products(row.get("products"), currency)
    if odd_products is not None:
        kept["products"] = odd_products
    amount = values.money(row.get("amount"), currency)
    if not values.is_same_number(row.get("amount"), amount):
        kept["amount"] = values.storable(row["amount"])
    upsells = Upsells(
        accepted=_offers(row, "upsells_accepted", kept),
        declined=_offers(row, "upsells_declined", kept),
    )
    transaction_id = values.optional_text(row.get("transaction_id"))
    return SessionSnapshot(
        id=session_id,
        email=_email(row.get("email")),
        status=status,
        current_step=_step(row, flow, upsells, kept, is_paid=transaction_id is not None),
        customer=_customer(row.get("customer_info"), kept),
        products=products,
        amount=amount,
        currency=currency,
        vault_id=values.optional_text(row.get("vault_id")),
        transaction_id=transaction_id,
        payment_token=_payment_token(row, status),
        upsells=upsells,
        created_at=_moment(row, "created_at"),
        updated_at=_moment(row, "updated_at"),
        expires_at=_moment(row, "expires_at"),
        metadata=freeze({"legacy": kept} if kept else {}),
        version=1,
    )


def _without_card_data(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Return the row with card data masked, and the names of the columns that had any.

    A record is never lost for it: the shopper's order counts, and what a shop should not have
    written down does not come along.
    """
    changes: dict[str, Any] = {}
    for name, value in row.items():
        if name in _REFERENCES or (name not in COLUMNS and _is_secret(name)):
            continue
        said = values.unwrapped(value)
        if find_card_data(said) is None:
            continue
        masked = None if name == "payment_token" else mask_card_data(said)
        if masked != said:  # else it was only nested too deeply to tell
            changes[name] = masked
    return ({**row, **changes}, sorted(changes)) if changes else (row, [])


def _session_id(value: Any) -> str:
    if value is None or value == "":
        raise UnreadableRecordError("id is missing")
    if not isinstance(value, str) or not is_session_id(value):
        raise UnreadableRecordError("id does not have the form ws_<time>_<random>")
    return value


def _status(value: Any) -> str:
    if value is None or value == "":
        raise UnreadableRecordError("status is missing")
    if value not in STATUSES:
        raise UnreadableRecordError(f"status {value!r:.40} is none of {', '.join(STATUSES)}")
    return str(value)


def _email(value: Any) -> str:
    try:
        return values.email_address(value)
    except ValueError as exc:
        raise UnreadableRecordError(f"email {exc}") from None


def _moment(row: Mapping[str, Any], name: str) -> datetime:
    try:
        return values.moment(row.get(name))
    except ValueError as exc:
        raise UnreadableRecordError(f"{name} {exc}") from None


def _step(
    row: Mapping[str, Any],
    flow: FlowTable,
    upsells: Upsells,
    kept: dict[str, Any],
    *,
    is_paid: bool,
) -> str:
    given = row.get("current_step")
    if isinstance(given, str) and given in flow.steps:
        return given
    kept["currentStep"] = values.storable(given)
    return proven_step(
        flow.steps,
        status=row["status"],
        is_paid=is_paid,
        accepted=upsells.accepted,
        declined=upsells.declined,
    )


def _customer(value: Any, kept: dict[str, Any]) -> FrozenDict | None:
    found = values.unwrapped(value)
    if found is None:
        return None
    if isinstance(found, dict):
        customer: FrozenDict = freeze(values.storable(found))
        return customer
    kept["customerInfo"] = values.storable(value)
    return None


def _offers(row: Mapping[str, Any], name: str, kept: dict[str, Any]) -> tuple[str, ...]:
    found = values.unwrapped(row.get(name))
    if found is None:
        return ()
    items = found if isinstance(found, list | tuple) else [found]
    offers = [item for item in items if isinstance(item, str) and item.strip()]
    odd = [item for item in items if not (isinstance(item, str) and item.strip())]
    if odd:
        kept[name] = values.storable(odd)
    return tuple(dict.fromkeys(values.storable_text(offer).strip() for offer in offers))


def _payment_token(row: Mapping[str, Any], status: str) -> str | None:
    """Return the token while it can still be used: later it has no business anywhere."""
    if status != PENDING:
        return None
    return values.optional_text(row.get("payment_token"))


def _unknown_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        values.storable_text(str(name)): values.storable(value)
        for name, value in row.items()
        if name not in COLUMNS and value is not None and not _is_secret(str(name))
    }
    return {"columns": columns} if columns else {}


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)

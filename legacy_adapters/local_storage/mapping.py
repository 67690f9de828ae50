"""An entry of a browser's localStorage as a session: a pure function, and the rules it keeps.

What has no place in a session stays under ``legacy.local_storage`` in its metadata. Nothing here
says what may be believed: an entry is a browser's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import MASKED
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import reading, values
from legacy_adapters.fields.lines import read_products
from legacy_adapters.local_storage.offers import read_upsells
from legacy_adapters.stores import Store
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.flow import FlowTable

STATUSES: Final = {
    "initiated": "pending",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}
"""Theirs → ours. An expired entry has no status: it is deleted."""

FIELDS: Final = (
    *("id", "email", "customerInfo", "products", "vaultId", "transactionId", "status"),
    *("currentStep", "upsellsAccepted", "upsellsDeclined", "upsells"),
    *("createdAt", "updatedAt", "expiresAt"),
)
# A gateway's own references may look like anything.
REFERENCES: Final = frozenset({"id", "vaultId", "transactionId"})


def to_session(entry: Mapping[str, Any], *, flow: FlowTable, currency: str) -> SessionSnapshot:
    """Return the session that an entry (name → JSON value) describes.

    Raises:
        UnreadableRecordError: id, email, status or dates are missing or invalid.

    """
    try:
        return _to_session(entry, flow=flow, currency=currency)
    except RecursionError:
        raise UnreadableRecordError("its JSON is nested too deeply") from None


def _to_session(entry: Mapping[str, Any], *, flow: FlowTable, currency: str) -> SessionSnapshot:
    entry, masked = reading.without_card_data(entry, known=FIELDS, references=REFERENCES)
    unknown = reading.unknown_fields(entry, FIELDS)
    kept: dict[str, Any] = {"fields": unknown} if unknown else {}
    if masked:
        kept[MASKED] = masked
    session_id = reading.session_id(entry.get("id"))
    status = reading.status(entry.get("status"), STATUSES)
    products, odd_products = read_products(entry.get("products"), currency)
    if odd_products is not None:
        kept["products"] = odd_products
    upsells = read_upsells(entry, kept)
    transaction_id = values.optional_text(entry.get("transactionId"))
    return SessionSnapshot(
        id=session_id,
        email=reading.email(entry.get("email")),
        status=status,
        current_step=reading.step(
            entry.get("currentStep"),
            flow,
            upsells,
            kept,
            status=status,
            is_paid=transaction_id is not None,
        ),
        customer=reading.customer(entry.get("customerInfo"), kept),
        products=products,
        currency=currency,
        vault_id=values.optional_text(entry.get("vaultId")),
        transaction_id=transaction_id,
        upsells=upsells,
        created_at=reading.moment(entry, "createdAt"),
        updated_at=reading.moment(entry, "updatedAt"),
        expires_at=reading.moment(entry, "expiresAt"),
        metadata=reading.kept_metadata(Store.LOCAL_STORAGE, kept),
        version=1,
    )

"""A row of ``funnel_sessions`` as a session: a pure function, and the rules it keeps.

What has no place in a session stays under ``legacy.database`` in its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import MASKED
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import reading, values
from legacy_adapters.fields.lines import read_products
from legacy_adapters.stores import Store
from sessions_unified.flow import PENDING, FlowTable
from sessions_unified.ids import is_minted_here
from sessions_unified.snapshot import SessionSnapshot, Upsells

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS: Final = (
    *("id", "email", "customer_info", "products", "status", "amount", "current_step"),
    *("upsells_accepted", "upsells_declined", "vault_id", "transaction_id", "payment_token"),
    *("created_at", "updated_at", "expires_at"),
)
# As objects in jsonb: an offer that was taken must not be sold again for how it was written.
NAMES_OF_OFFER: Final = ("productCode", "id")
_KNOWN: Final = frozenset(COLUMNS)
# A gateway's own references may look like anything, and money hangs on them. Dates have as many
# digits as a card, and what is no date is not imported.
_REFERENCES: Final = frozenset(
    {"id", "vault_id", "transaction_id", "created_at", "updated_at", "expires_at"}
)


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
    row, masked = reading.without_card_data(row, known=_KNOWN, references=_REFERENCES)
    columns = reading.unknown_fields(row, _KNOWN)
    kept: dict[str, Any] = {"columns": columns} if columns else {}
    if masked:
        kept[MASKED] = masked
    session_id, status = reading.session_id(row.get("id")), reading.status(row.get("status"))
    products, odd_products = read_products(row.get("products"), currency)
    if odd_products is not None:
        kept["products"] = odd_products
    amount = values.money(row.get("amount"), currency)
    if not values.is_same_number(row.get("amount"), amount):
        kept["amount"] = values.storable(row["amount"])
    upsells = Upsells(
        accepted=_offers(row, kept, "upsells_accepted"),
        declined=_offers(row, kept, "upsells_declined"),
    )
    transaction_id = values.optional_text(row.get("transaction_id"))
    return SessionSnapshot(
        id=session_id,
        email=_email(row, session_id),
        status=status,
        current_step=reading.step(
            row.get("current_step"),
            flow,
            upsells,
            kept,
            status=status,
            is_paid=transaction_id is not None,
        ),
        customer=reading.customer(row.get("customer_info"), kept),
        products=products,
        amount=amount,
        currency=currency,
        vault_id=values.optional_text(row.get("vault_id")),
        transaction_id=transaction_id,
        payment_token=_payment_token(row, status),
        upsells=upsells,
        created_at=reading.moment(row, "created_at"),
        updated_at=reading.moment(row, "updated_at"),
        expires_at=reading.moment(row, "expires_at"),
        metadata=reading.kept_metadata(Store.DATABASE, kept),
        version=1,
    )


def _email(row: Mapping[str, Any], session_id: str) -> str | None:
    """Return the address. A session of ours may have none yet: the old code's always had one."""
    if is_minted_here(session_id) and row.get("email") in (None, ""):
        return None
    return reading.email(row.get("email"))


def _offers(row: Mapping[str, Any], kept: dict[str, Any], column: str) -> tuple[str, ...]:
    return reading.offers(row.get(column), kept, column, names_of_id=NAMES_OF_OFFER)


def _payment_token(row: Mapping[str, Any], status: str) -> str | None:
    """Return the token while it can still be used: later it has no business anywhere."""
    if status != PENDING:
        return None
    return values.optional_text(row.get("payment_token"))

"""The old cookie's session data as a session: a pure function, and the rules it keeps.

The old shop's cache in memory holds the same data. What has no place in a session stays under
``legacy`` and the store's name in its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import LAST_VAULT_UPDATE, MASKED
from legacy_adapters.cookie import epoch
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import reading, values
from legacy_adapters.fields.steps import proven_step
from legacy_adapters.fields.writing import epoch_ms
from sessions_unified.flow import PENDING, PROCESSING, FlowTable
from sessions_unified.snapshot import FrozenDict, SessionSnapshot, freeze

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from legacy_adapters.stores import Store

FIELDS: Final = frozenset(
    {"id", "email", "customer", "vault_id", "transaction_id", "created_at", "expires_at"}
)
"""The session's fields that the data has a place for."""

CUSTOMER: Final = ("firstName", "lastName", "customerId", "state")
"""The data's own names for what it says of the customer."""

_KNOWN: Final = frozenset(
    {"id", "vaultId", "email", "transactionId", "createdAt", "expiresAt", LAST_VAULT_UPDATE}
).union(CUSTOMER)
# A gateway's own references may look like anything, and money hangs on them.
_REFERENCES: Final = frozenset({"id", "vaultId", "transactionId"})


def to_session(
    data: Mapping[str, Any], *, store: Store, flow: FlowTable, currency: str
) -> SessionSnapshot:
    """Return the session that the data (name → JSON value) describes.

    It names neither status nor step: they are what its facts prove.

    Raises:
        UnreadableRecordError: id, email or dates are missing or invalid.

    """
    try:
        return _to_session(data, store=store, flow=flow, currency=currency)
    except RecursionError:
        raise UnreadableRecordError("its JSON is nested too deeply") from None


def _to_session(
    data: Mapping[str, Any], *, store: Store, flow: FlowTable, currency: str
) -> SessionSnapshot:
    data, masked = reading.without_card_data(data, known=_KNOWN, references=_REFERENCES)
    kept = _kept(data, masked)
    created_at = _moment(data, "createdAt")
    transaction_id = values.optional_text(data.get("transactionId"))
    status = PENDING if transaction_id is None else PROCESSING
    return SessionSnapshot(
        id=reading.session_id(data.get("id")),
        email=reading.email(data.get("email")),
        status=status,
        current_step=proven_step(
            flow.steps,
            status=status,
            is_paid=transaction_id is not None,
            accepted=(),
            declined=(),
        ),
        customer=_customer(data),
        currency=currency,
        vault_id=values.optional_text(data.get("vaultId")),
        transaction_id=transaction_id,
        created_at=created_at,
        updated_at=max(created_at, epoch.moment(kept.get(LAST_VAULT_UPDATE, 0))),
        expires_at=_moment(data, "expiresAt"),
        metadata=reading.kept_metadata(store, kept),
        version=1,
    )


def _kept(data: Mapping[str, Any], masked: list[str]) -> dict[str, Any]:
    """Return what no field of a session says."""
    kept: dict[str, Any] = {}
    claims = reading.unknown_fields(data, _KNOWN)
    try:
        kept[LAST_VAULT_UPDATE] = epoch_ms(epoch.moment(data.get(LAST_VAULT_UPDATE)))
    except ValueError:
        if data.get(LAST_VAULT_UPDATE) is not None:
            claims[LAST_VAULT_UPDATE] = values.storable(data[LAST_VAULT_UPDATE])
    if claims:
        kept["claims"] = claims
    if masked:
        kept[MASKED] = masked
    return kept


def _customer(data: Mapping[str, Any]) -> FrozenDict | None:
    found = {name: data[name] for name in CUSTOMER if data.get(name) is not None}
    customer: FrozenDict | None = freeze(values.storable(found)) if found else None
    return customer


def _moment(data: Mapping[str, Any], name: str) -> datetime:
    try:
        return epoch.moment(data.get(name))
    except ValueError as exc:
        raise UnreadableRecordError(f"{name} {exc}") from None

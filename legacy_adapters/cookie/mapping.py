"""The old cookie's session data as a session and back: pure functions, and the rules they keep.

The old shop's cache in memory holds the same data. What has no place in a session stays under
``legacy`` and the store's name in its metadata.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import MASKED
from legacy_adapters.cookie import epoch
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import reading, values, writing
from legacy_adapters.fields.steps import proven_step
from sessions_unified.flow import PENDING, PROCESSING, FlowTable
from sessions_unified.snapshot import FrozenDict, SessionSnapshot, freeze

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from legacy_adapters.stores import Store

FIELDS: Final = frozenset(
    {"id", "email", "customer", "vault_id", "transaction_id", "created_at", "expires_at"}
)
"""The session's fields that the data has a place for."""

LIFETIME: Final = timedelta(minutes=30)
"""How long the old shop let its cookie live, from each time that it was written."""

_CUSTOMER: Final = ("firstName", "lastName", "customerId", "state")
_KNOWN: Final = frozenset(
    {"id", "vaultId", "email", "transactionId", "createdAt", "expiresAt", "lastVaultUpdate"}
).union(_CUSTOMER)
# A gateway's own references may look like anything, and money hangs on them.
_REFERENCES: Final = frozenset({"id", "vaultId", "transactionId"})
_VAULT_UPDATE: Final = "lastVaultUpdate"


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
        updated_at=max(created_at, epoch.moment(kept.get(_VAULT_UPDATE, 0))),
        expires_at=_moment(data, "expiresAt"),
        metadata=reading.kept_metadata(store, kept),
        version=1,
    )


def to_data(
    session: SessionSnapshot,
    *,
    store: Store,
    before: Mapping[str, Any] | None,
    flow: FlowTable,
    now: datetime,
) -> dict[str, Any]:
    """Return the data that says what ``session`` says; it ends with it, in 30 minutes at most.

    ``before`` is the data that the store holds.

    Raises:
        UnwritableRecordError: the format cannot say it.

    """
    places = _places(latest=now + LIFETIME)
    return writing.written(
        session,
        base=_put_back(session, store, places) if before is None else before,
        places=places,
        read=lambda fields: to_session(fields, store=store, flow=flow, currency=session.currency),
    )


def _kept(data: Mapping[str, Any], masked: list[str]) -> dict[str, Any]:
    """Return what no field of a session says."""
    kept: dict[str, Any] = {}
    claims = reading.unknown_fields(data, _KNOWN)
    try:
        kept[_VAULT_UPDATE] = writing.epoch_ms(epoch.moment(data.get(_VAULT_UPDATE)))
    except ValueError:
        if data.get(_VAULT_UPDATE) is not None:
            claims[_VAULT_UPDATE] = values.storable(data[_VAULT_UPDATE])
    if claims:
        kept["claims"] = claims
    if masked:
        kept[MASKED] = masked
    return kept


def _customer(data: Mapping[str, Any]) -> FrozenDict | None:
    found = {name: data[name] for name in _CUSTOMER if data.get(name) is not None}
    customer: FrozenDict | None = freeze(values.storable(found)) if found else None
    return customer


def _moment(data: Mapping[str, Any], name: str) -> datetime:
    try:
        return epoch.moment(data.get(name))
    except ValueError as exc:
        raise UnreadableRecordError(f"{name} {exc}") from None


def _put_back(
    session: SessionSnapshot, store: Store, places: Sequence[writing.Place]
) -> dict[str, Any]:
    """Return new data, with what the session kept of its old one in it."""
    kept = reading.kept_of(session, store)
    data = writing.fresh(session, places)
    data.pop(_VAULT_UPDATE, None)
    if _VAULT_UPDATE in kept:
        data[_VAULT_UPDATE] = kept[_VAULT_UPDATE]
    claims = kept.get("claims")
    return data | writing.thawed(claims) if isinstance(claims, dict) else data


def _places(latest: datetime) -> tuple[writing.Place, ...]:
    return (
        writing.place("id", lambda session: session.id),
        writing.place("email", lambda session: session.email),
        writing.Place(said=_said_of_customer, write=_said_of_customer),
        writing.Place(
            said=lambda session: session.vault_id,
            # The newest update of the vault id wins where stores disagree on it.
            write=lambda session: {
                "vaultId": session.vault_id,
                _VAULT_UPDATE: writing.epoch_ms(session.updated_at),
            },
        ),
        writing.place("transactionId", lambda session: session.transaction_id),
        writing.place("createdAt", lambda session: writing.epoch_ms(session.created_at)),
        writing.place(
            "expiresAt", lambda session: writing.epoch_ms(min(session.expires_at, latest))
        ),
    )


def _said_of_customer(session: SessionSnapshot) -> dict[str, Any]:
    customer: Mapping[str, Any] = session.customer or {}
    return {name: writing.thawed(customer.get(name)) for name in _CUSTOMER}

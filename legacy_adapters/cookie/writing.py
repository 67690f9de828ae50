"""The way back: a session as the old cookie's data, which the shop's cache in memory holds too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import LAST_VAULT_UPDATE
from legacy_adapters.cookie.mapping import CUSTOMER, to_session
from legacy_adapters.fields import reading, writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from legacy_adapters.stores import Store
    from sessions_unified.flow import FlowTable
    from sessions_unified.snapshot import SessionSnapshot

LIFETIME: Final = timedelta(minutes=30)
"""How long the old shop let its cookie live, from each time that it was written."""


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


def _put_back(
    session: SessionSnapshot, store: Store, places: Sequence[writing.Place]
) -> dict[str, Any]:
    """Return new data, with what the session kept of its old one in it."""
    kept = reading.kept_of(session, store)
    data = writing.fresh(session, places)
    data.pop(LAST_VAULT_UPDATE, None)
    if LAST_VAULT_UPDATE in kept:
        data[LAST_VAULT_UPDATE] = kept[LAST_VAULT_UPDATE]
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
                LAST_VAULT_UPDATE: writing.epoch_ms(session.updated_at),
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
    return {name: writing.thawed(customer.get(name)) for name in CUSTOMER}

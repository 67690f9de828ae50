"""The way back: a session as an entry of a browser's localStorage, which never has a vault id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.exceptions import UnwritableRecordError
from legacy_adapters.fields import reading, writing
from legacy_adapters.local_storage.mapping import FIELDS, REFERENCES, STATUSES, to_session
from legacy_adapters.local_storage.offers import write_upsells
from legacy_adapters.stores import Store
from sessions_unified.card_data import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.flow import FlowTable
    from sessions_unified.snapshot import SessionSnapshot

_WRITTEN_STATUSES: Final = {ours: theirs for theirs, ours in STATUSES.items()}


def to_entry(
    session: SessionSnapshot,
    *,
    before: Mapping[str, Any] | None,
    flow: FlowTable,
) -> dict[str, Any]:
    """Return the entry that says what ``session`` says; never with a vault id.

    ``before`` is the entry that the browser holds.

    Raises:
        UnwritableRecordError: the format cannot say it: an expired session has no entry.

    """
    if session.status not in _WRITTEN_STATUSES:
        raise UnwritableRecordError(f"status {session.status} is none of {', '.join(STATUSES)}")
    base = _put_back(session) if before is None else _cleaned(before)
    entry = writing.written(
        session,
        base=base,
        places=_PLACES,
        read=lambda fields: to_session(fields, flow=flow, currency=session.currency),
    )
    return {name: value for name, value in entry.items() if name != "vaultId"}


def _cleaned(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without what should not go back to a browser, though it came from there."""
    clean, _ = reading.without_card_data(entry, known=FIELDS, references=REFERENCES)
    return {
        name: value
        for name, value in clean.items()
        if name in FIELDS or not (reading.is_secret(name) or is_secret_name(name, value))
    }


def _put_back(session: SessionSnapshot) -> dict[str, Any]:
    """Return a new entry, with what the session kept of its old one in it."""
    kept = reading.kept_of(session, Store.LOCAL_STORAGE)
    entry = writing.fresh(session, _PLACES)
    fields = kept.get("fields")
    if isinstance(fields, dict):
        entry |= {name: writing.thawed(fields[name]) for name in fields if name not in FIELDS}
    for name in ("customerInfo", "currentStep"):
        if name in kept:
            entry[name] = writing.thawed(kept[name])
    return entry


def _lines(session: SessionSnapshot) -> dict[str, Any]:
    """Return the products' lines, with what was no line back in its place."""
    lines = [writing.line(each) for each in session.products]
    odd = reading.kept_of(session, Store.LOCAL_STORAGE).get("products")
    if isinstance(odd, list | tuple):
        is_placed = all(
            isinstance(each, dict) and {"position", "line"} <= set(each) for each in odd
        )
        return {"products": writing.with_lines(lines, odd) if is_placed else lines}
    return {"products": lines or writing.thawed(odd) or []}


_PLACES: Final = (
    writing.place("id", lambda session: session.id),
    writing.place("email", lambda session: session.email),
    writing.place("customerInfo", lambda session: session.customer, writing.thawed),
    writing.Place(said=lambda session: session.products, write=_lines),
    writing.place("transactionId", lambda session: session.transaction_id),
    writing.place("status", lambda session: session.status, _WRITTEN_STATUSES.__getitem__),
    writing.place("currentStep", lambda session: session.current_step),
    writing.Place(said=lambda session: session.upsells.accepted, write=write_upsells),
    writing.Place(said=lambda session: session.upsells.declined, write=write_upsells),
    writing.Place(said=lambda session: session.upsells.details, write=write_upsells),
    *(
        writing.place(name, said, writing.iso)
        for name, said in (
            ("createdAt", lambda session: writing.milliseconds(session.created_at)),
            ("updatedAt", lambda session: writing.milliseconds(session.updated_at)),
            ("expiresAt", lambda session: writing.milliseconds(session.expires_at)),
        )
    ),
)

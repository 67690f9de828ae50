"""A session as a row of ``funnel_sessions``: a pure function, the mapping's other direction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import LegacyRecord
from legacy_adapters.database.mapping import COLUMNS, NAMES_OF_OFFER, to_session
from legacy_adapters.exceptions import UnwritableRecordError
from legacy_adapters.fields.reading import kept_of, offer_id
from legacy_adapters.fields.writing import Place, fresh, line, place, thawed, with_lines, written
from legacy_adapters.stores import Store
from sessions_unified.flow import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.flow import FlowTable
    from sessions_unified.snapshot import SessionSnapshot


def to_row(
    session: SessionSnapshot,
    *,
    flow: FlowTable,
    before: Mapping[str, Any] | None = None,
    rename: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> LegacyRecord:
    """Return the row that says what ``session`` says; ``before`` is the row as it is now.

    ``rename`` gives the columns the shop's names.

    Raises:
        UnwritableRecordError: the table has no way to say it.

    """

    def read(row: Mapping[str, Any]) -> SessionSnapshot:
        return to_session(row, flow=flow, currency=session.currency)

    try:
        base = _restored(session) if before is None else before
        row = written(session, base=base, places=_PLACES, read=read)
        return LegacyRecord.of(session.id, rename(row))
    except RecursionError:
        raise UnwritableRecordError("its JSON is nested too deeply") from None


def _restored(session: SessionSnapshot) -> dict[str, Any]:
    """Return a new row, with what the session kept of its old one."""
    kept = kept_of(session, Store.DATABASE)
    columns = kept.get("columns")
    own = columns if isinstance(columns, Mapping) else {}
    row = {name: thawed(value) for name, value in own.items() if name not in COLUMNS}
    row |= fresh(session, _PLACES)
    for name, column in _KEPT_WHOLE.items():
        if name in kept:
            row[column] = thawed(kept[name])
    if "products" in kept and not isinstance(kept["products"], list | tuple):
        row["products"] = thawed(kept["products"])
    return row


def _answers(column: str, said: Callable[[SessionSnapshot], tuple[str, ...]]) -> Place:
    """Return the place of a list of offers, with what the row said otherwise at its end."""

    def write(session: SessionSnapshot) -> Mapping[str, Any]:
        kept = kept_of(session, Store.DATABASE).get(column)
        given = said(session)
        odd = [(offer_id(each, NAMES_OF_OFFER), thawed(each)) for each in kept or ()]
        more = [(each, item) for each, item in odd if each is None or each in given]
        told = {each for each, _ in more}
        return {column: [*(each for each in given if each not in told), *(i for _, i in more)]}

    return Place(said=said, write=write)


def _products(session: SessionSnapshot) -> Mapping[str, Any]:
    odd = kept_of(session, Store.DATABASE).get("products")
    return {"products": with_lines([line(product) for product in session.products], odd)}


def _payment_token(session: SessionSnapshot) -> Mapping[str, Any]:
    """Write it while it can be used; later the column is left as the old code left it."""
    return {"payment_token": session.payment_token} if session.status == PENDING else {}


_KEPT_WHOLE: Final = {
    "amount": "amount",
    "currentStep": "current_step",
    "customerInfo": "customer_info",
}
_PLACES: Final = (
    place("id", lambda session: session.id),
    # The old shop's column takes no NULL: a session of ours that has no address yet says "".
    Place(said=lambda session: session.email, write=lambda session: {"email": session.email or ""}),
    place("customer_info", lambda session: session.customer, thawed),
    Place(said=lambda session: session.products, write=_products),
    place("status", lambda session: session.status),
    place("amount", lambda session: session.amount, lambda amount: amount),
    place("current_step", lambda session: session.current_step),
    _answers("upsells_accepted", lambda session: session.upsells.accepted),
    _answers("upsells_declined", lambda session: session.upsells.declined),
    place("vault_id", lambda session: session.vault_id),
    place("transaction_id", lambda session: session.transaction_id),
    Place(said=lambda session: session.payment_token, write=_payment_token),
    place("created_at", lambda session: session.created_at, datetime.isoformat),
    place("updated_at", lambda session: session.updated_at, datetime.isoformat),
    place("expires_at", lambda session: session.expires_at, datetime.isoformat),
)

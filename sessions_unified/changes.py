"""What a change to a session may be: named fields, checked and frozen, and the moves it makes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sessions_unified import expiry
from sessions_unified.card_data import refuse_card_data
from sessions_unified.exceptions import InvalidChangeError
from sessions_unified.flow import FlowTable, Position
from sessions_unified.jsonb import as_stored, is_same
from sessions_unified.money import quantize
from sessions_unified.snapshot import FrozenDict, Product, SessionSnapshot, Upsells, decode_hook
from sessions_unified.tiers.rows import JSON_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_TYPES: Final[dict[str, Any]] = {
    "email": str | None,
    "status": str,
    "current_step": str,
    "customer": FrozenDict | None,
    "products": tuple[Product, ...],
    "amount": Decimal | None,
    "currency": str,
    "vault_id": str | None,
    "transaction_id": str | None,
    "payment_token": str | None,
    "upsells": Upsells,
    "metadata": FrozenDict,
}

# What people type. A gateway's own references are left alone: a charge settles, whatever they are.
_TYPED: Final = frozenset({"email", "customer", "products", "metadata", "payment_token"})

_AMOUNT_LIMIT: Final = 10**15  # the column: 19 digits, 4 of them decimals

CHANGEABLE: Final = frozenset(_TYPES)


def coerce(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``changes`` with each value as the snapshot holds it and the database returns it.

    Raises:
        InvalidChangeError: a field is not one that can be changed, or its value is of the wrong
            kind; it names the field.
        CardDataError: one of what people type holds card data; it names the field.

    """
    fields: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in CHANGEABLE:
            message = f"A session has no changeable field {name!r}."
            raise InvalidChangeError(message, field=name)
        try:
            found = msgspec.convert(value, _TYPES[name], dec_hook=decode_hook)
            fields[name] = as_stored(found) if name in JSON_FIELDS else found
        except (ValueError, NotImplementedError) as exc:  # msgspec's is a ValueError
            message = f"{name}: {exc}"
            raise InvalidChangeError(message, field=name) from exc
        if name in _TYPED:
            refuse_card_data(fields[name], name)
    amount = fields.get("amount")
    if amount is not None and not (amount.is_finite() and abs(amount) < _AMOUNT_LIMIT):
        message = f"amount: it is not a number below {_AMOUNT_LIMIT}."
        raise InvalidChangeError(message, field="amount")
    return fields


def apply(
    before: SessionSnapshot,
    fields: Mapping[str, Any],
    *,
    flow: FlowTable | None,
    now: datetime,
) -> tuple[SessionSnapshot, tuple[str, ...]]:
    """Return the session after ``fields``, at the next version, and the names that changed.

    Nothing changed: ``before`` itself and no names. Without ``flow`` any move is made.

    Raises:
        InvalidTransitionError: the flow does not allow the move.

    """
    fields = dict(fields)
    amount = fields.get("amount", before.amount)
    if amount is not None and not fields.keys().isdisjoint({"amount", "currency"}):
        fields["amount"] = quantize(amount, fields.get("currency", before.currency))
    changed = tuple(
        sorted(name for name, value in fields.items() if not is_same(value, getattr(before, name)))
    )
    if not changed:
        return before, ()
    status = fields.get("status", before.status)
    step = fields.get("current_step", before.current_step)
    if flow is not None:
        flow.check(Position(before.status, before.current_step), Position(status, step))
    after = msgspec.structs.replace(
        before,
        **{name: fields[name] for name in changed},
        version=before.version + 1,
        updated_at=now,
        expires_at=expiry.deadline_after_change(before, status=status, step=step, now=now),
    )
    return after, changed


def event_data(before: SessionSnapshot, after: SessionSnapshot) -> dict[str, Any]:
    """Return what an event says of a move: positions before and after, and nothing personal."""
    data: dict[str, Any] = {}
    if before.status != after.status:
        data["status"] = [before.status, after.status]
    if before.current_step != after.current_step:
        data["step"] = [before.current_step, after.current_step]
    return data

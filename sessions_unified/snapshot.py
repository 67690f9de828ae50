"""The session as a value: frozen to the last leaf, so that threads share it without a copy."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn, Self

import msgspec


class FrozenDict(dict[str, Any]):
    """A JSON object that cannot be changed; nested objects and lists are frozen too."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        message = "A session snapshot cannot be changed. Use update_session."
        raise TypeError(message)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (dict(self),))

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


EMPTY = FrozenDict()


_CONTAINERS = frozenset({dict, list, tuple})


def freeze(value: Any) -> Any:
    """Return ``value`` (JSON-shaped) with every object and list made immutable."""
    if type(value) is dict:
        # Most objects hold nothing but scalars; a call for each of these is what costs.
        for item in value.values():
            if type(item) in _CONTAINERS:
                break
        else:
            return FrozenDict(value)
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if type(value) in {list, tuple}:
        return tuple(freeze(item) for item in value)
    return value


class Product(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the order. ``price`` is of one unit; ``extra`` keeps what we do not know."""

    id: str
    quantity: int
    name: str = ""
    price: Decimal | None = None
    extra: FrozenDict = EMPTY


class Upsells(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which offers the shopper took and refused; ``details`` by offer: amount, time and more."""

    accepted: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    details: FrozenDict = EMPTY


class SessionSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as it was at one version.

    ``amount`` is in units of ``currency`` (dollars, not cents). ``vault_id`` and
    ``payment_token`` never leave the server. Datetimes are aware, in UTC.
    """

    id: str
    status: str
    current_step: str
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    email: str | None = None
    customer: FrozenDict | None = None
    products: tuple[Product, ...] = ()
    amount: Decimal | None = None
    currency: str = "USD"
    vault_id: str | None = None
    transaction_id: str | None = None
    payment_token: str | None = None
    upsells: Upsells = Upsells()
    metadata: FrozenDict = EMPTY

    def __repr__(self) -> str:
        # No PII and no vault id: snapshots end up in tracebacks and logs.
        return f"<SessionSnapshot {self.id} v{self.version} {self.status}/{self.current_step}>"

    @property
    def is_paid(self) -> bool:
        """Whether the order itself is known to be paid."""
        return self.transaction_id is not None


def decode_hook(wanted: type, value: Any) -> Any:
    """Build `FrozenDict` when msgspec decodes or converts into a snapshot."""
    if wanted is FrozenDict and isinstance(value, dict):
        return freeze(value) if type(value) is dict else value
    message = f"{wanted.__name__} cannot be made from {type(value).__name__}"
    raise NotImplementedError(message)

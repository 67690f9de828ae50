"""JSON as PostgreSQL's jsonb gives it back, so that every tier holds the same from the beginning.

What is written goes through `as_stored` once; what is read has been through the database already.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from operator import is_
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sessions_unified.snapshot import FrozenDict, Product, Upsells, freeze

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN: Final = frozenset({str, int, bool, type(None)})
# From here on a float is written with an exponent, which jsonb spells out as a whole number.
_WHOLE: Final = 1e16
# A whole number of more digits is stored, and then cannot be read again.
_MAX_DIGITS: Final = 4_300

_encoder = msgspec.json.Encoder(decimal_format="number")


def as_stored(value: Any) -> Any:
    """Return a frozen JSON value, `Product` or `Upsells` as it will be read; often itself.

    A float that jsonb would make a whole number is that number, exactly: ``1e16`` is ``10**16``.
    There is no ``-0.0``. A decimal, a date and whatever else JSON has no word for is what it is
    written as.

    Raises:
        ValueError: it holds something that JSON cannot say, like NaN.

    """
    kind = type(value)
    return value if kind in _PLAIN else _BY_TYPE.get(kind, _other)(value)


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two frozen values are the same to JSON: ``1`` is ``1.0`` and is not ``true``."""
    return bool(one == other) and _has_same_booleans(one, other)


def _has_same_booleans(one: Any, other: Any) -> bool:
    """Compare what is equal already."""
    if isinstance(one, dict):
        return all(_has_same_booleans(item, other[name]) for name, item in one.items())
    if isinstance(one, tuple):
        return all(map(_has_same_booleans, one, other))
    if isinstance(one, Product):
        return _has_same_booleans(one.extra, other.extra)
    if isinstance(one, Upsells):
        return _has_same_booleans(one.details, other.details)
    return isinstance(one, bool) is isinstance(other, bool)


def _number(value: float) -> float:
    if -_WHOLE < value < _WHOLE:
        return value or 0.0  # jsonb's numbers have no negative zero
    if not isfinite(value):
        message = f"JSON has no number for {value}."
        raise ValueError(message)
    return int(value)  # not its shortest digits, which jsonb would take: equal to the float


def _object(value: dict[Any, Any]) -> dict[str, Any]:
    # Most objects hold nothing but text and whole numbers; a call for each of these is what costs.
    for name, item in value.items():
        if type(name) is not str or type(item) not in _PLAIN:
            break
    else:
        return value if type(value) is FrozenDict else FrozenDict(value)
    stored = {
        name if type(name) is str else _name(name): as_stored(item) for name, item in value.items()
    }
    is_unchanged = (
        type(value) is FrozenDict
        and len(stored) == len(value)
        and all(map(is_, stored, value))
        and all(map(is_, stored.values(), value.values()))
    )
    return value if is_unchanged else FrozenDict(stored)


def _array(value: tuple[Any, ...] | list[Any]) -> tuple[Any, ...]:
    stored = tuple(map(as_stored, value))
    return value if type(value) is tuple and all(map(is_, value, stored)) else stored


def _product(value: Product) -> Product:
    extra = as_stored(value.extra)
    return value if extra is value.extra else msgspec.structs.replace(value, extra=extra)


def _upsells(value: Upsells) -> Upsells:
    details = as_stored(value.details)
    return value if details is value.details else msgspec.structs.replace(value, details=details)


def _name(key: Any) -> str:
    return str(next(iter(_written({key: None}))))


def _other(value: Any) -> Any:
    return _object(value) if isinstance(value, dict) else as_stored(freeze(_written(value)))


def _decimal(value: Decimal) -> Any:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or max(value.adjusted(), -exponent) >= _MAX_DIGITS:
        message = f"JSON has no number for {value}."
        raise ValueError(message)
    # Without an exponent, as jsonb spells it: 1.5E+2 is 150 there, and 12.00 is 12.00.
    return as_stored(msgspec.json.decode(format(value, "f")))


def _written(value: Any) -> Any:
    try:
        return msgspec.json.decode(_encoder.encode(value))
    except TypeError as exc:
        message = f"JSON cannot say it: {exc}"
        raise ValueError(message) from exc


_BY_TYPE: Final[dict[type, Callable[[Any], Any]]] = {
    float: _number,
    Decimal: _decimal,
    dict: _object,
    FrozenDict: _object,
    tuple: _array,
    list: _array,
    Product: _product,
    Upsells: _upsells,
}

"""The way back: a session as a record in a store's own words, changed no more than it has to be.

A store's format is a list of `Place`: what a session says there, which of the record's fields say
it, and how they are written. A field that says the same already stays exactly as it is written:
text stays text, odd lines stay. Only what the session says differently is written fresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.exceptions import UnreadableRecordError, UnwritableRecordError
from sessions_unified.jsonb import as_stored, is_same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from sessions_unified.snapshot import Product, SessionSnapshot

# A number of more digits is none to JavaScript; such a price is written as text.
_SAFE_DIGITS: Final = 15


@dataclass(frozen=True, kw_only=True)
class Place:
    """One thing that a session says, and where a record of the store says it.

    Attributes:
        said: what the session says: a JSON value, a number, a date, products.
        write: the record's fields that say it: name → value, None for none. Names that it leaves
            out stay as they are.

    """

    said: Callable[[SessionSnapshot], Any]
    write: Callable[[SessionSnapshot], Mapping[str, Any]]


def place(
    name: str, said: Callable[[SessionSnapshot], Any], as_written: Callable[[Any], Any] = as_stored
) -> Place:
    """Return the place of what one field of a record says; None is written as None."""

    def write(session: SessionSnapshot) -> Mapping[str, Any]:
        value = said(session)
        return {name: None if value is None else as_written(value)}

    return Place(said=said, write=write)


def written(
    session: SessionSnapshot,
    *,
    base: Mapping[str, Any],
    places: Sequence[Place],
    read: Callable[[Mapping[str, Any]], SessionSnapshot],
) -> dict[str, Any]:
    """Return the fields of a record that says what ``session`` says at all ``places``.

    ``base`` are the fields that the record has now; of a new one, `fresh` with what the session
    kept of its record put back. ``read`` is the store's mapping.

    Raises:
        UnwritableRecordError: what is written does not read as it should: the format cannot say it.

    """
    fields = dict(base)
    # Twice: what one field is read as may hang on others, as an unknown step does on the facts.
    for _ in range(2):
        for each in _differing(session, fields, places, read):
            fields |= each.write(session)
    try:
        read(fields)
    except UnreadableRecordError as exc:
        raise UnwritableRecordError(exc.reason) from exc
    return fields


def fresh(session: SessionSnapshot, places: Sequence[Place]) -> dict[str, Any]:
    """Return the fields of a new record; what is None is left out."""
    fields: dict[str, Any] = {}
    for each in places:
        fields |= each.write(session)
    return {name: value for name, value in fields.items() if value is not None}


def _differing(
    session: SessionSnapshot,
    fields: Mapping[str, Any],
    places: Sequence[Place],
    read: Callable[[Mapping[str, Any]], SessionSnapshot],
) -> list[Place]:
    try:
        there = read(fields)
    except UnreadableRecordError:
        return list(places)
    return [each for each in places if not _agree(each.said(session), each.said(there))]


def _agree(one: Any, other: Any) -> bool:
    """Tell whether both say the same once they are stored; a date is no JSON, and compares."""
    return is_same(_stored(one), _stored(other))


def _stored(value: Any) -> Any:
    return as_stored(value) if isinstance(value, dict | tuple | list | float) else value


def iso(moment: datetime) -> str:
    """Return a date as JSON writes a JS Date: ISO 8601 with milliseconds and ``Z``."""
    return milliseconds(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms(moment: datetime) -> int:
    """Return a date as ``Date.now()`` counts: milliseconds since 1970."""
    return round(milliseconds(moment).timestamp() * 1000)


def milliseconds(moment: datetime) -> datetime:
    """Return the moment as a JS Date holds it: without its microseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def number(amount: Decimal) -> int | float | str:
    """Return an amount as a JSON number; as text where a double would lose digits of it."""
    if len(amount.normalize().as_tuple().digits) > _SAFE_DIGITS:
        return format(amount, "f")
    return int(amount) if amount == int(amount) else float(amount)


def line(product: Product) -> dict[str, Any]:
    """Return a product as the old shop wrote a line; what it said otherwise comes back as it was.

    ``extra`` goes last: an odd price or name of the line is kept there, under its own name.
    """
    known: dict[str, Any] = {"id": product.id}
    if product.name:
        known["name"] = product.name
    if product.price is not None:
        known["price"] = number(product.price)
    known["quantity"] = product.quantity
    return {**known, **thawed(product.extra)}


def thawed(value: Any) -> Any:
    """Return frozen JSON as the plain objects and lists that encoders know."""
    if isinstance(value, dict):
        return {name: thawed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [thawed(item) for item in value]
    return value


def with_lines(lines: Sequence[Any], odd: Any) -> list[Any]:
    """Return the lines with those that named no product back in their places (`read_products`)."""
    complete = list(lines)
    for each in odd if isinstance(odd, list | tuple) else ():
        complete.insert(each["position"], thawed(each["line"]))
    return complete

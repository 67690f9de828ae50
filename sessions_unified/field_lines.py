"""A session's fields as lines of text, a line a leaf."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NONE: Final = "-"

_numbers = msgspec.json.Encoder(decimal_format="number")


class Leaf(NamedTuple):
    """One value in a session.

    Attributes:
        field: the session's field that it belongs to.
        path: its own name, down from the field; of one session no two are the same.
        text: what it says.

    """

    field: str
    path: str
    text: str


def leaves(session: Mapping[str, Any]) -> Iterator[Leaf]:
    """Yield what a session in wire form says; an object is easier to read leaf by leaf."""
    for field, value in session.items():
        if field == "products":
            yield from _products(value)
        elif field == "upsells":
            for name, item in value.items():
                yield from _flat(field, f"{field}.{name}", item)
        else:
            yield from _flat(field, field, value)


def label(path: str) -> str:
    """Return what stands before a leaf: nothing before the second product and the others."""
    return "" if path.startswith("products#") else _printable(path)


def differing_leaves(
    here: Mapping[str, Any], there: Mapping[str, Any], fields: Iterable[str]
) -> frozenset[str]:
    """Return the paths of the leaves that make these fields differ; never none for a field."""
    found: set[str] = set()
    texts = [{leaf.path: leaf.text for leaf in leaves(session)} for session in (here, there)]
    of_field: dict[str, set[str]] = {}
    for session in (here, there):
        for leaf in leaves(session):
            of_field.setdefault(leaf.field, set()).add(leaf.path)
    for field in fields:
        paths = of_field.get(field, set())
        unlike = {path for path in paths if texts[0].get(path) != texts[1].get(path)}
        found |= unlike or paths
    return frozenset(found)


def text(value: Any) -> str:
    """Return a value in one line that a terminal shows as it is."""
    if value is None or value in ((), {}, []):
        return NONE
    if isinstance(value, datetime):
        return moment(value)
    return _printable(as_json(value) if isinstance(value, dict | list | tuple) else str(value))


def as_json(value: Any) -> str:
    """Return JSON with exact numbers."""
    return _numbers.encode(value).decode()


def moment(value: datetime | None) -> str:
    """Return a time to the second, in UTC."""
    return NONE if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _printable(said: str) -> str:
    # What a shopper wrote may hold a terminal's own commands.
    return said if said.isprintable() else "".join(c if c.isprintable() else "·" for c in said)


def _flat(field: str, path: str, value: Any) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(field, f"{path}.{key}", item)
    elif isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
        yield Leaf(field, path, text(", ".join(value)) or NONE)
    else:
        yield Leaf(field, path, text(value))


def _products(lines: Iterable[Mapping[str, Any]]) -> Iterator[Leaf]:
    path = "products"
    number = 0
    for number, line in enumerate(lines, start=1):
        said = f"{line['quantity']} x {line['id']}  {line['name']}  {text(line['price'])}"
        yield Leaf("products", path, text(said))
        path = f"products#{number + 1}"
    if not number:
        yield Leaf("products", path, NONE)

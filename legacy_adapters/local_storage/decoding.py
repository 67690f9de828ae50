"""JSON as browsers write it, decoded with care: what is none says where it breaks off."""

from __future__ import annotations

import json
from typing import Any, Final

from legacy_adapters.exceptions import UnreadableRecordError

MAX_DEPTH: Final = 32
TOO_DEEP: Final = f"It is nested deeper than {MAX_DEPTH} levels."
DOUBLED: Final = "A key of it comes twice."
_NOT_AN_OBJECT: Final = "It is not a JSON object of sessions."
_MAX_DIGITS: Final = 300


class _Doubled(dict[str, Any]):
    """An object of which a key came twice: the last one counts, as in browsers, and it is told."""


def decoded(raw: bytes) -> dict[str, Any]:
    """Return the object; an empty one for nothing and for ``null``.

    Raises:
        UnreadableRecordError: there is none; quotes nothing of it.

    """
    try:
        value = _decoded(raw.decode()) if raw.strip() else None
    except RecursionError:
        raise UnreadableRecordError(TOO_DEEP) from None
    except ValueError as exc:
        raise UnreadableRecordError(_place(exc)) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableRecordError(_NOT_AN_OBJECT)
    if isinstance(value, _Doubled):
        raise UnreadableRecordError(DOUBLED)
    return value


def _decoded(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_constant=_no_constant,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Doubled(found)


def _integer(digits: str) -> float:
    # A browser's numbers are doubles; Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}.")


def _place(exc: ValueError) -> str:
    """Return where it breaks off, quoting nothing."""
    if isinstance(exc, UnicodeDecodeError):
        return f"It is not UTF-8 at byte {exc.start}."
    if isinstance(exc, json.JSONDecodeError):
        return f"It is not valid JSON at character {exc.pos}: {exc.msg}."
    return str(exc)  # `_no_constant`


def is_deeper(value: Any, levels: int) -> bool:
    """Tell whether JSON is nested deeper than so many levels."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(is_deeper(item, levels - 1) for item in items)


def has_doubled(value: Any) -> bool:
    """Tell whether any object in it had a key that came twice."""
    if isinstance(value, list):
        return any(map(has_doubled, value))
    if not isinstance(value, dict):
        return False
    return isinstance(value, _Doubled) or any(map(has_doubled, value.values()))

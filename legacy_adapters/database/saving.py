"""Writing one row of a table that the old shop goes on using: named columns only, never more."""

# ruff: noqa: S608  (every name is quoted; every value is a parameter)

from __future__ import annotations

import re
from json.encoder import encode_basestring
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.database.store import column
from legacy_adapters.exceptions import UnwritableRecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.db import Error as DatabaseError

    from legacy_adapters.database.store import Table

# SQLSTATE classes with which PostgreSQL refuses values: data exception, integrity constraint,
# a trigger's own, a view's check; and two of class 42: another type, a column it fills by itself.
_REFUSALS: Final = ("22", "23", "P0", "44", "42804", "428C9")
_TRIGGER: Final = "P0"
_HALF: Final = re.compile("[\ud800-\udfff]")
# In JSON text whose other letters are written as they are: behind no backslash of the text itself.
_ESCAPED: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])")


def update(table: Table, row: Mapping[str, Any], *, session_id: str) -> bool:
    """Set the row's columns of an id; tell whether there is such a row.

    Not ``INSERT … ON CONFLICT``: that checks NOT NULL of columns that nobody named, and it needs
    an index that is unique.
    """
    changes = ", ".join(f"{column(name)} = {value}" for name, value in _values(row))
    statement = f"UPDATE {{}} AS t SET {changes} FROM {_ROW} WHERE t.{{id}} = %(id)s"
    return _run(table, statement, row, id=session_id) > 0


def insert(table: Table, row: Mapping[str, Any], *, is_last_word: bool) -> bool:
    """Insert the row; tell whether it went in. What is None is left to the column's default.

    ``is_last_word``: a row in the way is a refusal.
    """
    given = {name: value for name, value in row.items() if value is not None}
    columns = ", ".join(column(name) for name in given)
    selected = ", ".join(value for _, value in _values(given))
    conflict = "" if is_last_word else " ON CONFLICT DO NOTHING"
    statement = f"INSERT INTO {{}} ({columns}) SELECT {selected} FROM {_ROW}{conflict}"
    return _run(table, statement, given) > 0


# PostgreSQL itself turns JSON into whatever the columns are, as row_to_json turned them into JSON:
# text[], jsonb, json or text, exact numbers. So a column that changes its type needs no restart.
_ROW: Final = "json_populate_record(NULL::{}, %(row)s::json) AS r"


def _values(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield column and expression of its value."""
    for position, (name, value) in enumerate(row.items()):
        direct = _is_for_json_alone(value)
        yield name, f"%(direct_{position})s" if direct else f"r.{column(name)}"


def _run(table: Table, statement: str, row: Mapping[str, Any], **params: Any) -> int:
    direct = {
        f"direct_{position}": as_json(value)
        for position, value in enumerate(row.values())
        if _is_for_json_alone(value)
    }
    plain = {name: value for name, value in row.items() if not _is_for_json_alone(value)}
    with table.connection.cursor() as cursor:
        cursor.execute(table.statement(statement), {"row": as_json(plain), **direct, **params})
        return int(cursor.rowcount)


def _is_for_json_alone(value: Any) -> bool:
    """Tell whether only a column of type json can hold it: NUL or half a pair is in it.

    It must not pass through `_ROW`, which reads every text.
    """
    return isinstance(value, str | dict | list) and _ESCAPED.search(as_json(value)) is not None


def as_json(value: Any) -> str:
    """Return JSON text with numbers exactly as they are, whatever a double could hold.

    Raises:
        UnwritableRecordError: there is a number in it that JSON has no word for.

    """
    if isinstance(value, str):
        return _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", encode_basestring(value))
    if isinstance(value, dict):
        return f"{{{','.join(f'{as_json(str(name))}:{as_json(value[name])}' for name in value)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_json, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isfinite(value):
        raise UnwritableRecordError(f"JSON has no number for {value}")
    return str(value)


def refusal(exc: DatabaseError) -> str | None:
    """Return why the database refuses the row itself; None: it was something else.

    Never more than the beginning of the message: the rest of it quotes values of the row.
    """
    diagnosis = getattr(exc.__cause__, "diag", None)
    state = getattr(diagnosis, "sqlstate", None) or ""
    if not state.startswith(_REFUSALS):
        return None
    if state.startswith(_TRIGGER):
        return f"a trigger of the table refuses it ({state})"
    return str(getattr(diagnosis, "message_primary", "")).partition(": ")[0]

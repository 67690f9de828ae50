"""What a shop calls its columns, and what we call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from legacy_adapters.database.mapping import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

# A column of the shop's own that is called like one of ours must not be taken for it.
_OWN: Final = "the shop's own "


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Two-way names; nothing where they are the same.

    Attributes:
        to_theirs: our name → the shop's.
        to_ours: the shop's name → ours.

    """

    to_theirs: Mapping[str, str]
    to_ours: Mapping[str, str]

    @classmethod
    def of(cls, columns: Mapping[str, str]) -> Self:
        """Return the naming of an option ``columns``.

        Raises:
            TypeError: it names a column that no session has, or one twice.

        """
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise TypeError(f"columns names {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
        theirs = [columns.get(name, name) for name in COLUMNS]
        if len(set(theirs)) < len(theirs):
            raise TypeError("columns names a column of the table twice")
        renamed = {name: other for name, other in columns.items() if name != other}
        shadowed = {name: f"{_OWN}{name}" for name in renamed if name not in theirs}
        to_ours = {other: name for name, other in renamed.items()} | shadowed
        return cls(
            to_theirs={name: other for other, name in to_ours.items()},
            to_ours=to_ours,
        )

    def ours(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row of the table under our names."""
        return _renamed(row, self.to_ours)

    def theirs(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row of ours under the shop's names."""
        return _renamed(row, self.to_theirs)

    def their_name(self, column: str) -> str:
        """Return what the shop calls a column."""
        return self.to_theirs.get(column, column)


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    if not names:
        return row
    return {names.get(name, name): value for name, value in row.items()}

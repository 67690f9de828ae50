"""One legacy table in PostgreSQL: its quoted name, its columns, statements on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from legacy_adapters.exceptions import SourceUnavailableError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        alias: the ``DATABASES`` alias it is reached over.
        name: as in the settings: ``table`` or ``schema.table``, unquoted, case as it is.

    """

    alias: str
    name: str

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """The connection of this thread.

        Raises:
            SourceUnavailableError: the settings have no such alias.

        """
        try:
            return connections[self.alias]
        except ConnectionDoesNotExist as exc:
            raise SourceUnavailableError(
                f"There is no database {self.alias!r}. Set LEGACY_DATABASE_URL, or let "
                "LEGACY_ADAPTERS name a database of DATABASES."
            ) from exc

    def fetch(self, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Run a statement whose ``{}`` stands for the table, and return its rows.

        Raises:
            SourceUnavailableError: the database did not answer, or refused.

        """
        connection = self.connection
        try:
            with connection.cursor() as cursor:
                cursor.execute(self.statement(statement), params)
                found: list[tuple[Any, ...]] = cursor.fetchall()
                return found
        except DatabaseError as exc:
            raise SourceUnavailableError(
                f"The table {self.name} in the database {self.alias!r} cannot be read: "
                f"{str(exc).strip().splitlines()[0]}"
            ) from exc

    def statement(self, text: str) -> str:
        """Return a statement with the table's name for ``{}``; it is run with parameters."""
        return text.replace("{}", self.quoted.replace("%", "%%"))

    def columns(self) -> dict[str, str]:
        """Return column → type (``text[]``, ``jsonb``, …); nothing if there is no such table."""
        statement = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return dict(self.fetch(statement, [self.quoted]))

    @property
    def quoted(self) -> str:
        """The name as SQL writes it: whatever it holds, it is a name."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in self.name.split("."))

    def missing(self) -> str:
        """Return what to tell a person when the table is not there."""
        database = self.connection.settings_dict["NAME"]
        return (
            f"There is no table {self.name} in the database {database} (alias {self.alias!r}). "
            "Set LEGACY_DATABASE_URL to the old shop's database and LEGACY_SESSION_TABLE to its "
            "table; `manage.py load_sample_world` makes a sample one."
        )

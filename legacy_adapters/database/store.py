"""One legacy table in PostgreSQL: its quoted name, its columns, statements on it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from legacy_adapters.exceptions import SourceUnavailableError
from sessions_unified.postgres import database_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        alias: the ``DATABASES`` alias it is reached over.
        name: as in the settings: ``table`` or ``schema.table``, unquoted, case as it is.
        names: the columns that are called otherwise: our name → the shop's.

    """

    alias: str
    name: str
    names: Mapping[str, str] = field(default_factory=dict)

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
        """Run a statement (see `statement`), and return its rows.

        Raises:
            SourceUnavailableError: the database did not answer, or refused.

        """
        with self.answering("read"), self.connection.cursor() as cursor:
            cursor.execute(self.statement(statement), params)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    @contextmanager
    def answering(self, done: str) -> Iterator[None]:
        """Say of the database's errors within the block that the table cannot be ``done``.

        Raises:
            SourceUnavailableError: for any of them.

        """
        try:
            yield
        except DatabaseError as exc:
            raise SourceUnavailableError(
                f"The table {self.name} in the database {self.alias!r} cannot be {done}: "
                f"{str(exc).strip().splitlines()[0]}"
            ) from exc

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Run the block as one transaction whose statements end within ``seconds``; None: never.

        The server ends them. One that hangs itself cannot; then a `BudgetedConnection` gives up.
        """
        connection = self.connection
        if seconds is None:
            with transaction.atomic(using=self.alias):
                yield
            return
        is_inner = connection.in_atomic_block
        with database_budget(seconds + _GRACE_SECONDS), transaction.atomic(using=self.alias):
            with connection.cursor() as cursor:
                cursor.execute(_LIMIT, [f"{max(round(seconds * 1000), 1)}ms"])
                (before, _) = cursor.fetchone()
            yield
            if is_inner:  # the caller's transaction goes on, by its own limit
                with connection.cursor() as cursor:
                    cursor.execute(_LIMIT, [before])

    @contextmanager
    def committing(self, done: str, *, seconds: float | None) -> Iterator[None]:
        """Run the block as one transaction, as `limited`; say of its two ends what fails there.

        What the block raises is its own, and undoes it.

        Raises:
            SourceUnavailableError: the transaction did not begin, or was not committed.

        """
        block = self.limited(seconds)
        with self.answering(done):
            block.__enter__()
        try:
            yield
        except BaseException as exc:
            if not block.__exit__(type(exc), exc, exc.__traceback__):
                raise
        else:
            with self.answering(done):
                block.__exit__(None, None, None)

    def statement(self, text: str) -> str:
        """Return a statement with the table's name for ``{}`` and a column's for ``{status}``.

        It is run with parameters.
        """
        return _PLACE.sub(lambda found: self._named(found[1]), text)

    def _named(self, column: str) -> str:
        name = quoted_name(self.names.get(column, column)) if column else self.quoted
        return name.replace("%", "%%")

    def columns(self) -> dict[str, str]:
        """Return column → type (``text[]``, ``jsonb``, …); nothing if there is no such table."""
        return dict(self.fetch(_COLUMNS.format(condition="true"), [self.quoted]))

    def writable_columns(self) -> frozenset[str]:
        """Return the columns that a statement may name: none that PostgreSQL fills by itself."""
        condition = "attgenerated = '' AND attidentity <> 'a'"
        found = self.fetch(_COLUMNS.format(condition=condition), [self.quoted])
        return frozenset(name for name, _ in found)

    def may(self, right: str) -> bool:
        """Tell whether this user has a right on the table: ``SELECT``, ``UPDATE``, …."""
        statement = "SELECT has_table_privilege(to_regclass(%s), %s)"
        ((answer,),) = self.fetch(statement, [self.quoted, right])
        return bool(answer)

    @property
    def quoted(self) -> str:
        """The name as SQL writes it: whatever it holds, it is a name."""
        return ".".join(quoted_name(part) for part in self.name.split("."))

    def missing(self) -> str:
        """Return what to tell a person when the table is not there."""
        database = self.connection.settings_dict["NAME"]
        return (
            f"There is no table {self.name} in the database {database} (alias {self.alias!r}). "
            "Set LEGACY_DATABASE_URL to the old shop's database and LEGACY_SESSION_TABLE to its "
            "table; `manage.py load_sample_world` makes a sample one."
        )


# The server comes first: a statement that it ended costs no connection.
_GRACE_SECONDS: Final = 0.5
_PLACE: Final = re.compile(r"\{(\w*)\}")
_LIMIT: Final = (
    "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"
)
_COLUMNS: Final = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND {condition} "
    "ORDER BY attnum"
)


def quoted_name(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def column(name: str) -> str:
    """Return a column's name as a statement with parameters writes it."""
    return quoted_name(name).replace("%", "%%")

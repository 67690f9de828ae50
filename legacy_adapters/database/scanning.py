"""Reading a table from end to end, beside a live shop: by short-lived server-side cursors.

One cursor serves so many rows (`Scan.cursor_rows`), and the next goes on behind its last key. A
snapshot that lived as long as the scan would keep the shop's whole database from being vacuumed,
for hours; and what a cursor has not served yet waits in a file on the shop's server.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.database.store import Table

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What is read.

    Attributes:
        table: of what table.
        select: the statement, up to its ``WHERE``; its last column is the id.
        conditions: what else rows must meet, with parameters by name.
        params: their values.
        cursor_rows: how many rows one cursor serves.

    """

    table: Table
    select: str
    conditions: tuple[str, ...]
    params: dict[str, Any]
    cursor_rows: int

    def batches(self, after: str | None, *, size: int) -> Iterator[Rows]:
        """Yield the rows behind ``after``, in the order of their ids, ``size`` at a time.

        It ends when there is nothing behind the last row: what came meanwhile is found.
        """
        while True:
            last = after
            for rows in self._some(after, size=size):
                after = rows[-1][-1]
                yield rows
            if after == last:
                return

    def _some(self, after: str | None, *, size: int) -> Iterator[Rows]:
        """Yield some batches behind ``after``; none: there is nothing more."""
        if self._may_hold_a_cursor():
            yield from self._by_cursor(after, size=size)
            return
        rows = self.table.fetch(*self._statement(after, limit=size))
        yield from [rows] if rows else []

    def _may_hold_a_cursor(self) -> bool:
        """Tell whether a cursor would stay: not behind a pooler that lends by the transaction.

        Nor in the caller's transaction, whose end would end it; a failing ``FETCH`` would then
        take the caller's next transaction with it.
        """
        connection = self.table.connection
        with self.table.answering("read"):
            return connection.get_autocommit() and not connection.settings_dict.get(
                "DISABLE_SERVER_SIDE_CURSORS"
            )

    def _by_cursor(self, after: str | None, *, size: int) -> Iterator[Rows]:
        """Yield the batches of one cursor; fewer, if the connection is another meanwhile.

        In autocommit Django declares it ``WITH HOLD``: the caller's transactions don't end it, and
        its snapshot ends with the statement.
        """
        statement, params = self._statement(after, limit=max(self.cursor_rows // size, 1) * size)
        connection = self.table.connection
        with self.table.answering("read"), closing(connection.chunked_cursor()) as cursor:
            cursor.execute(self.table.statement(statement), params)
            server = connection.connection
            while server is connection.connection and (rows := cursor.fetchmany(size)):
                yield rows

    def _statement(self, after: str | None, *, limit: int) -> tuple[str, dict[str, Any]]:
        conditions = ["{id} IS NOT NULL", *self.conditions]
        if after is not None:
            conditions.append("{id} > %(after)s")
        text = " ".join(
            [self.select, "WHERE", " AND ".join(conditions), "ORDER BY {id} LIMIT %(limit)s"]
        )
        return text, {**self.params, "after": after, "limit": limit}

"""Legacy rows and tables for tests."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection, connections

from legacy_adapters.testing import InMemoryAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.base import Batch
    from legacy_adapters.database.store import Table

COLUMNS = (
    "id text PRIMARY KEY, email text, customer_info jsonb, products jsonb, status text, "
    "amount numeric, current_step text, upsells_accepted {offers}, upsells_declined {offers}, "
    "vault_id text, transaction_id text, payment_token text, created_at timestamptz, "
    "updated_at timestamptz, expires_at timestamptz"
)
JSON_COLUMNS = {"customer_info", "products"}


class InterruptedAdapter(InMemoryAdapter):
    """A store that yields one batch, and then what ``after`` says."""

    def __init__(self, *, source: str, after: BaseException, **_: Any) -> None:
        super().__init__(source=source, rows={row()["id"]: row()})
        self.after = after

    def scan(self, after: str | None = None, **options: Any) -> Iterator[Batch]:
        yield from super().scan(after, **options)
        raise self.after


def row(**fields: Any) -> dict[str, Any]:
    """Return a row as an adapter reads it: at the checkout, with one product, a day to live."""
    return {
        "id": "ws_mwo5wwds_2",
        "email": "ana@example.org",
        "customer_info": {"firstName": "Ana"},
        "products": [{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 1}],
        "status": "pending",
        "amount": "12.50",
        "current_step": "checkout",
        "upsells_accepted": [],
        "upsells_declined": [],
        "vault_id": None,
        "transaction_id": None,
        "payment_token": None,
        "created_at": "2026-11-19T23:09:26.128+00:00",
        "updated_at": "2026-11-19T23:30:24.379+00:00",
        "expires_at": "2999-11-20T23:09:26.128+00:00",
    } | fields


def paid_row(**fields: Any) -> dict[str, Any]:
    """Return a row of a shopper who has paid and sees the first offers."""
    paid = {"status": "processing", "current_step": "upsell-1", "transaction_id": "3029929089"}
    return row(**{**paid, "vault_id": "117041394", **fields})


def create_table(table: Table, *, offers: str = "text[]", extra: str = "") -> None:
    """Create the legacy table, its offers' columns of the given type."""
    columns = COLUMNS.format(offers=offers) + extra
    with connections[table.alias].cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table.quoted} ({columns})")


def put(table: Table, *rows: dict[str, Any]) -> None:
    """Insert rows, or overwrite those of the same id."""
    is_json = {name for name, kind in table.columns().items() if kind.startswith("json")}
    with connections[table.alias].cursor() as cursor:
        for each in rows:
            cursor.execute(table.statement("DELETE FROM {} WHERE id = %s"), [each["id"]])
            names = ", ".join(f'"{name}"' for name in each)
            marks = ", ".join(["%s"] * len(each))
            values = [
                json.dumps(value) if name in is_json and value is not None else value
                for name, value in each.items()
            ]
            insert = f"INSERT INTO {{}} ({names}) VALUES ({marks})"
            cursor.execute(table.statement(insert), values)


@contextmanager
def other_database(alias: str) -> Iterator[str]:
    """Make a database of its own on the test's server, reached over ``alias``; yield its name.

    Outside of any test's transaction. Tests that use it name both databases in their mark.
    """
    name = f"{connection.settings_dict['NAME']}_{alias}"
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    connections.databases[alias] = {**connections.databases["default"], "NAME": name, "OPTIONS": {}}
    try:
        yield name
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}"')

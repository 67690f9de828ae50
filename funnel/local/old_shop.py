"""The demo's old shop: a table in a database of its own, and a migration that takes minutes.

It is there as long as `legacy_adapters` is.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from funnel.local.private_files import kept_secret

if TYPE_CHECKING:
    from pathlib import Path

    from funnel.local.services import Services

DATABASE: Final = "old_shop"

_HASTE: Final = {
    "SESSION_MANAGER": "legacy_adapters.migration.MigratingSessionManager",
    # Enough for a newcomer to see the gates shut and open; a shop waits for more.
    "MIGRATION_MIN_COMPARISONS": "200",
    "MIGRATION_PARITY_THRESHOLD": "0.98",
    "MIGRATION_UNLISTED_LIFE_SECONDS": "cookie=30,memory_cache=30,local_storage=30",
    # Simulated shoppers come from one address and share the sandbox's few cards.
    "SYNCS_PER_MINUTE": "100000",
    "DECLINES_PER_ADDRESS": "0",
    "DECLINES_PER_CARD": "0",
}


def is_there() -> bool:
    """Tell whether there is code that knows the old shop."""
    return find_spec("legacy_adapters") is not None


def old_shop_variables(directory: Path, services: Services) -> dict[str, str]:
    """Return the settings' environment variables; what the environment names already stands.

    On a server of ours the old shop has a database of its own, which is made here.
    """
    if not is_there():
        return {}
    found = _HASTE | {"LEGACY_COOKIE_SECRETS": kept_secret(directory / "old-shop.secret")}
    if services.processes and not os.environ.get("DATABASE_URL"):
        found["LEGACY_DATABASE_URL"] = _own_database(services.database_url)
    return {name: os.environ.get(name) or value for name, value in found.items()}


def _own_database(url: str) -> str:
    """Make the old shop's database on the server of ``url``, if it is not there; return its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))

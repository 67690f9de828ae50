"""``manage.py load_sample_world``: a small legacy shop to try the migration on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from legacy_adapters import sample_world
from legacy_adapters.conf import get_adapter
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import LegacyAdaptersError
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from legacy_adapters.database.store import Table


class Command(BaseCommand):
    """Make the legacy table and fill it with invented shoppers, their times shifted to now."""

    help = "Load an invented legacy shop's sessions into the legacy database, as of now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what a table that is there already means."""
        parser.add_argument(
            "--if-missing", action="store_true", help="Leave a table with rows in it as it is."
        )

    def handle(self, *, if_missing: bool, **_: Any) -> None:
        """Load it, once."""
        try:
            table = self.table()
            present = len(table.columns()) and table.fetch("SELECT count(*) FROM {}")[0][0]
        except (LegacyAdaptersError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from exc
        if present and not if_missing:
            raise CommandError(
                f"The table {table.name} has {present:,} rows already, perhaps a real shop's. "
                "With --if-missing it is left as it is."
            )
        if present:
            self.stdout.write(f"The old shop's table {table.name} is there: {present:,} sessions.")
            return
        try:
            loaded = sample_world.load(table, now=get_clock().now())
        except DatabaseError as exc:
            reason = str(exc).strip().splitlines()[0]
            raise CommandError(f"The table {table.name} cannot be filled: {reason}") from exc
        self.stdout.write(f"Loaded a sample shop's {loaded:,} sessions into {table.name}.")

    def table(self) -> Table:
        """Return the legacy table that the settings name."""
        adapter = get_adapter("database")
        if not isinstance(adapter, DatabaseAdapter):
            raise CommandError("LEGACY_ADAPTERS['database'] is not the adapter of a table.")
        return adapter.table

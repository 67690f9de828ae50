"""``migration retire``: look, archive, drop, and say what may be deleted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from legacy_adapters.conf import get_adapter
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.retiring import activity, archiving, leftovers
from legacy_adapters.migration.retiring.obstacles import obstacles
from legacy_adapters.migration.sides.primary import primary_name
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from legacy_adapters.database.store import Table
    from legacy_adapters.management.commands.migration import Command


class Retiring:
    """One run of it."""

    def __init__(self, command: Command, options: dict[str, Any]) -> None:
        self._command = command
        self._options = options
        self._found: dict[str, Any] = {"archive": None, "dropped": None}

    def run(self) -> None:
        """Do what is asked, as far as nothing is in the way."""
        table = self._table()
        self._refuse_half_a_wish(table)
        try:
            self._look_for_obstacles()
            if not table.columns():
                self._say(f"There is no table {table.name} any more.")
            else:
                self._look_for_users(table)
                self._archive_and_drop(table)
            self._tell_leftovers()
        finally:
            if self._options["json"]:
                self._command.print_json(self._found)

    def _table(self) -> Table:
        source = self._options["source"] or primary_name()
        adapter = get_adapter(source)
        if not isinstance(adapter, DatabaseAdapter):
            raise CommandError(
                f"The legacy store {source!r} is no table: archive and remove it by its own means. "
                "Stores of the browser end by themselves."
            )
        return adapter.table

    def _refuse_half_a_wish(self, table: Table) -> None:
        options = self._options
        if not options["drop"]:
            return
        if options["archive"] is None:
            raise CommandError("--drop needs --archive FILE: a new one, or one made before.")
        if options["confirm"] != table.name:
            raise CommandError(
                f"--drop drops the table {table.name}: write --confirm {table.name} to say that "
                "you mean it. Nothing was done."
            )

    def _look_for_obstacles(self) -> None:
        found = obstacles(get_tiers())
        self._found["obstacles"] = [asdict(each) for each in found]
        if found:
            lines = (f"  [{each.name}] {each.text} {each.needs}" for each in found)
            raise CommandError(
                "\n".join(("The old stores are still needed. Nothing was done.", *lines))
            )
        self._say("Every endpoint is at complete, nothing waits for repair, and what browsers")
        self._say("still had has ended.")

    def _look_for_users(self, table: Table) -> None:
        seconds = self._options["watch"]
        self._say(f"Looking for {seconds} s whether anybody uses {table.name} …")
        found = activity.watch(table, seconds=seconds, sleep=self._command.sleep)
        self._found["activity"] = asdict(found)
        if found.is_quiet:
            last = f", last read at {found.last_read_at}" if found.last_read_at else ""
            self._say(f"Nobody does{last}.")
            return
        counters = {**found.reads, **found.writes}
        said = [f"  {name}: {number:,}" for name, number in counters.items() if number]
        said += [f"  {user}" for user in found.users]
        if not found.is_known:
            said = ["  PostgreSQL's counters of it are not there, or were reset meanwhile."]
        advice = (
            "Find who does it (the names above are their application_name), stop it, and run this "
            "again. A backup of the database reads it too."
        )
        text = f"{table.name} is still in use. Nothing was done."
        raise CommandError("\n".join((text, *said, advice)))

    def _archive_and_drop(self, table: Table) -> None:
        path, is_dry = self._options["archive"], self._options["dry_run"]
        if path is None:
            return
        is_there = path.exists()
        if is_there and not self._options["drop"]:
            raise CommandError(f"{path} is there already, and is never overwritten.")
        if is_dry and not is_there:
            ((number,),) = table.fetch("SELECT count(*) FROM {}")
            self._say(f"Would archive {number:,} rows of {table.name} to {path}.")
        else:
            now = get_tiers().clock.now()
            archived = (
                archiving.read_archive(table, path)
                if is_there
                else archiving.archive(table, path, now=now)
            )
            self._found["archive"] = {"file": str(path), **asdict(archived)}
            self._say(f"{path}: {archived.rows:,} rows, SHA-256 {archived.sha256}.")
            self._say("It holds personal data in the clear: keep it as you keep backups.")
            if self._options["drop"] and not is_dry:
                archiving.drop(table, archived)
                self._found["dropped"] = table.name
                self._say(f"Dropped the table {table.name}.")
        if self._options["drop"] and is_dry:
            self._say(f"Would drop the table {table.name}.")

    def _tell_leftovers(self) -> None:
        found = leftovers.steps()
        self._found["steps"] = [{"title": title, "items": items} for title, items in found]
        self._say("")
        self._say("What may go now, in this order:")
        for title, items in found:
            self._say(title)
            for each in items:
                self._say(f"  {each}")

    def _say(self, text: str) -> None:
        if not self._options["json"]:
            self._command.stdout.write(text)

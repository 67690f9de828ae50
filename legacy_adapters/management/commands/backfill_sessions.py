"""``manage.py backfill_sessions``: import a legacy store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.backfill import Report, backfill
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from legacy_adapters.base import LegacyAdapter

STOPS = (
    LegacyAdaptersError,
    DatabaseUnavailableError,
    OperationalError,
    InterfaceError,
    KeyboardInterrupt,
)
AGAIN = "What was imported so far stays; run it again to go on: nothing is done twice."
SHOWN = 20
"""How many conflicting, and unreadable, records are named one by one."""


class Command(BaseCommand):
    """Import every record of a legacy store that can be a session."""

    help = (
        "Import a legacy store's sessions. Safe to run again, beside shoppers, and after a kill: "
        "what is imported already stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what to read and how."""
        parser.add_argument("--source", required=True, help="A key of LEGACY_ADAPTERS: database.")
        parser.add_argument(
            "--batch-size", type=positive, default=500, help="Records a transaction (500)."
        )
        parser.add_argument("--limit", type=positive, help="Stop after this many records.")
        parser.add_argument("--dry-run", action="store_true", help="Count, and write nothing.")
        parser.add_argument(
            "--json", action="store_true", help="Print the whole report as JSON on the last line."
        )

    def handle(
        self,
        *,
        source: str,
        batch_size: int,
        limit: int | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        """Import, then report."""
        adapter = self.adapter(source)
        try:
            total = adapter.count() if limit is None else min(limit, adapter.count())
            with progress(f"Reading {source}", total=total, out=self.stdout) as advance:
                report = backfill(
                    adapter,
                    batch_size=batch_size,
                    limit=limit,
                    is_dry_run=dry_run,
                    advance=advance,
                )
        except STOPS as exc:
            reason = str(exc).strip() or "Stopped."
            raise CommandError(f"{reason} {AGAIN}") from exc
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), ensure_ascii=False))
        else:
            self.tell(report, is_dry_run=dry_run)

    def adapter(self, source: str) -> LegacyAdapter:
        """Return the store's adapter, ready to be read."""
        try:
            adapter = get_adapter(source)
        except (LegacyAdaptersError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from exc
        if not adapter.supports_scan:
            raise CommandError(
                f"The legacy store {source!r} cannot be listed: its sessions come over when their "
                "shoppers do."
            )
        problem = adapter.health().problem
        if problem is not None:
            raise CommandError(problem)
        return adapter

    def tell(self, report: Report, *, is_dry_run: bool) -> None:
        """Print what a person wants to know."""
        if not report.read:
            self.stdout.write("Nothing to import: the legacy store is empty.")
            return
        heading = "Read (dry run: nothing was written)" if is_dry_run else "Read"
        imported = "would be imported" if is_dry_run else "imported"
        lines = (
            (heading, report.read),
            (imported, report.imported),
            ("unchanged", report.unchanged),
            ("conflicting", len(report.conflicts)),
            ("unreadable", len(report.unreadable)),
        )
        width = max(len(f"{number:,}") for _, number in lines)
        for label, number in lines:
            indent = "" if label == heading else "  "
            self.stdout.write(
                f"{indent}{number:>{width},} {label}" if indent else f"{label}: {number:,}"
            )
        self.name_each(
            "Conflicting (changed on both sides; the session here stays)",
            ((each.id, ", ".join(each.fields)) for each in report.conflicts),
        )
        self.name_each(
            "Card data (masked in the session; erase it from the legacy store)",
            ((each.id, ", ".join(each.columns)) for each in report.masked),
        )
        self.name_each(
            "Unreadable (left in the legacy store)",
            ((each.id, each.reason) for each in report.unreadable),
        )

    def name_each(self, title: str, found: Iterable[tuple[str | None, str]]) -> None:
        """Print the first few with their reasons, and count the rest."""
        rows = list(found)
        if not rows:
            return
        self.stdout.write(self.style.WARNING(f"{title}:"))
        for session_id, reason in rows[:SHOWN]:
            self.stdout.write(f"  {session_id or '(no id)'}: {reason}")
        if len(rows) > SHOWN:
            self.stdout.write(f"  … and {len(rows) - SHOWN:,} more (--json names all of them)")


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number

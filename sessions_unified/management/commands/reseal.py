"""``manage.py reseal``: encrypt again what is encrypted at rest, under the first key."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from sessions_unified import resealing
from sessions_unified.progress import progress
from sessions_unified.upkeep.pacing import interruptible

if TYPE_CHECKING:
    from sessions_unified.resealing import Report

AGAIN = "Run it again to go on: what is done stays done."


class Command(BaseCommand):
    """Bring all sealed values under the first of ``ENCRYPTION_KEYS``."""

    help = (
        "Encrypt vault ids and payment tokens again, under the first of ENCRYPTION_KEYS, so that "
        "an older key can be taken out. Safe beside shoppers and itself; it changes no version and "
        "writes no event. Ctrl-C stops it after the batch under way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how much at once, and how to report."""
        parser.add_argument("--dry-run", action="store_true", help="Count, and write nothing.")
        parser.add_argument(
            "--batch-size",
            type=int,
            default=resealing.BATCH_SIZE,
            help=f"Rows a transaction at most ({resealing.BATCH_SIZE}).",
        )
        parser.add_argument("--json", action="store_true", help="Print one object, for scripts.")

    def handle(self, *, dry_run: bool, batch_size: int, **options: Any) -> None:
        """Go over all rows, then report."""
        if batch_size < 1:
            raise CommandError("--batch-size must be at least 1.")
        is_json = options["json"]
        try:
            with interruptible() as is_stopped:
                following = (
                    nullcontext(lambda _: None)
                    if is_json
                    else progress("Resealing", total=resealing.count(), out=self.stdout)
                )
                with following as advance:
                    report = resealing.reseal(
                        batch_size=batch_size,
                        is_dry_run=dry_run,
                        advance=advance,
                        is_stopped=is_stopped,
                    )
                was_stopped = is_stopped()
        except (OperationalError, InterfaceError) as exc:
            cause = str(exc).strip().partition("\n")[0]
            raise CommandError(f"The database did not answer: {cause}\n{AGAIN}") from exc
        if is_json:
            self.stdout.write(json.dumps(report.as_json() | {"dryRun": dry_run}))
        else:
            self.tell(report, is_dry_run=dry_run)
        _refuse(report, was_stopped=was_stopped)

    def tell(self, report: Report, *, is_dry_run: bool) -> None:
        """Print what a person wants to know."""
        if not (report.resealed or report.current or report.unreadable):
            self.stdout.write("Nothing is encrypted here yet.")
            return
        verb = "Would encrypt" if is_dry_run else "Encrypted"
        self.stdout.write(
            f"{verb} {report.resealed:,} values under the first key; "
            f"{report.current:,} were under it already."
        )


def _refuse(report: Report, *, was_stopped: bool) -> None:
    """End in failure while an older key is still needed.

    Raises:
        CommandError: it says why.

    """
    if report.unreadable:
        kids = ", ".join(f"{kid!r} ({number:,})" for kid, number in report.unreadable.items())
        raise CommandError(
            f"These cannot be opened, and were left as they are; by key: {kids}. "
            "Put the key back into ENCRYPTION_KEYS, at the end."
        )
    if was_stopped:
        raise CommandError(f"Stopped before the end. {AGAIN}")
    if report.skipped:
        raise CommandError(f"{report.skipped:,} rows were being written all the time. {AGAIN}")

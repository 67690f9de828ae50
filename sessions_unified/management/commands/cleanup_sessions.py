"""``manage.py cleanup_sessions``: expire what is due, purge what is past its retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from sessions_unified import sweeping, touches
from sessions_unified.exceptions import DatabaseUnavailableError, TierUnavailableError
from sessions_unified.progress import progress
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.tiers import Tiers

ACTOR = "operator"


class Command(BaseCommand):
    """Do by hand, and at once, what the scheduled tasks do little by little."""

    help = (
        "Settle sessions past their end (unpaid: expired, paid: completed, one with an open "
        "charge: left alone) and replace those past the retention period by tombstones. Safe "
        "beside the scheduled tasks and shoppers."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how much at once, and what."""
        parser.add_argument("--dry-run", action="store_true", help="Count, and write nothing.")
        parser.add_argument("--batch-size", type=int, default=500, help="Sessions a transaction.")
        parser.add_argument(
            "--no-purge", dest="purge", action="store_false", help="Only expire; purge nothing."
        )
        parser.add_argument("--purge", action="store_true", help="Purge too: the default.")
        parser.set_defaults(purge=True)

    def handle(self, *, dry_run: bool, batch_size: int, purge: bool, **_: Any) -> None:
        """Count, then clean."""
        if batch_size < 1:
            raise CommandError("--batch-size must be at least 1.")
        tiers = get_tiers()
        try:
            if not dry_run:
                self.flush(tiers)
            due = sweeping.count_due(tiers)
            purgeable = sweeping.count_purgeable(tiers) if purge else 0
            if not due and not purgeable:
                self.stdout.write("Nothing to clean up.")
            elif dry_run:
                self.stdout.write(f"Would settle {due:,} and purge {purgeable:,} sessions.")
            else:
                self.clean(tiers, due=due, purgeable=purgeable, batch_size=batch_size)
        except (DatabaseUnavailableError, OperationalError) as exc:
            raise CommandError(f"{exc} Run it again to go on: nothing is done twice.") from exc

    def flush(self, tiers: Tiers) -> None:
        """Write pending touches first: a shopper seen a moment ago is not past the idle limit."""
        try:
            touches.flush_touches(tiers)
        except DatabaseUnavailableError:
            raise
        except TierUnavailableError as exc:
            self.stderr.write(f"Redis did not answer, so the latest touches are not counted: {exc}")

    def clean(self, tiers: Tiers, *, due: int, purgeable: int, batch_size: int) -> None:
        """Work batch by batch, and say what was done."""
        settled = self.run(
            "Settling",
            due,
            batch_size,
            lambda: self.settle(tiers, batch_size),
        )
        purged = 0
        if purgeable:
            purged = self.run(
                "Purging",
                purgeable,
                batch_size,
                lambda: sweeping.purge_finished(tiers, batch_size=batch_size, actor=ACTOR),
            )
        self.stdout.write(f"Settled {settled:,} and purged {purged:,} sessions.")

    def settle(self, tiers: Tiers, batch_size: int) -> int:
        """Settle one batch, by the touches until now."""
        now = tiers.clock.now()
        self.flush(tiers)
        return sweeping.expire_due(tiers, batch_size=batch_size, actor=ACTOR, now=now)

    def run(self, title: str, total: int, batch_size: int, batch: Callable[[], int]) -> int:
        """Repeat ``batch`` until it finds less than it could take; return the total done."""
        done = 0
        with progress(title, total=total, out=self.stdout) as advance:
            while True:
                number = batch()
                done += number
                advance(number)
                if number < batch_size:
                    return done

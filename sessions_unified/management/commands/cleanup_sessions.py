"""``manage.py cleanup_sessions``: expire what is due, purge what is past its retention."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.progress import progress
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep import pacing, sweeping
from sessions_unified.upkeep.cleaning import Cleaner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.core.management.base import OutputWrapper

    from sessions_unified.upkeep.cleaning import Run
    from sessions_unified.upkeep.pacing import Pacer

ACTOR: Final = "operator"
AGAIN: Final = "Run it again to go on: nothing is done twice."
_SECONDS_BETWEEN_NOTES: Final = 10.0
_SECONDS_WORTH_SAYING: Final = 5.0
_HOLD_PROOF_SECONDS: Final = 0.5
_HOLD_LOST: Final = "Cleaning is not on hold, or no longer. Start the hold again."
_ENDINGS: Final = {
    "stopped": f"Stopped before the end. {AGAIN}",
    "held": "Cleaning is on hold: `cleanup_sessions --hold` is running somewhere. "
    "Run this again when that has ended.",
}


class Command(BaseCommand):
    """Do by hand, and at once, what the scheduled tasks do little by little."""

    help = (
        "Settle sessions past their end (unpaid: expired, paid: completed, one with an open "
        "charge: left alone), replace those past the retention period by tombstones, and drop the "
        "events of tombstones past theirs. Safe beside the scheduled tasks, shoppers and itself. "
        "It goes slowly while the database is busy. Ctrl-C stops it after the batch under way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what, how much at once, and how fast."""
        parser.add_argument("--dry-run", action="store_true", help="Count, and write nothing.")
        parser.add_argument(
            "--batch-size",
            type=int,
            help="Sessions a transaction at most (the setting CLEANUP_BATCH_SIZE).",
        )
        parser.add_argument(
            "--no-purge", dest="purge", action="store_false", help="Only expire; purge nothing."
        )
        parser.add_argument("--purge", action="store_true", help="Purge too: the default.")
        parser.add_argument(
            "--no-pace",
            dest="pace",
            action="store_false",
            help="The largest batches without a rest, however busy the database is.",
        )
        parser.add_argument(
            "--hold",
            action="store_true",
            help="Clean nothing, and keep every other cleaner from it, until Ctrl-C.",
        )
        parser.add_argument("--json", action="store_true", help="Print one object, for scripts.")
        parser.set_defaults(purge=True, pace=True)

    def handle(self, **options: Any) -> None:
        """Count, then clean; or hold."""
        if options["batch_size"] is not None and options["batch_size"] < 1:
            raise CommandError("--batch-size must be at least 1.")
        if options["hold"] and not _is_alone(options):
            raise CommandError("--hold stands alone: it cleans nothing and counts nothing.")
        self.began = time.monotonic()
        self.noted_at = self.began - _SECONDS_BETWEEN_NOTES
        self.done = {"settled": 0, "purged": 0, "eventsDropped": 0}
        try:
            with pacing.interruptible() as is_stopped:
                if options["hold"]:
                    self.hold(is_stopped)
                elif options["dry_run"]:
                    self.count(**options)
                else:
                    self.clean(is_stopped, **options)
        except (DatabaseUnavailableError, OperationalError, InterfaceError) as exc:
            cause = str(exc.__cause__ or exc).strip().partition("\n")[0]
            done = _HOLD_LOST if options["hold"] else f"{self.summary()} {AGAIN}"
            raise CommandError(f"The database did not answer: {cause}\n{done}") from exc

    def hold(self, is_stopped: Callable[[], bool]) -> None:
        """Keep all cleaners from work, and prove all the time that it still does."""
        with pacing.hold(get_tiers()) as prove:
            self.stdout.write("Cleaning is on hold, everywhere. Ctrl-C lets it go on.")
            self.stdout.flush()  # whoever waits for it may read a pipe
            while not is_stopped():
                prove()
                time.sleep(_HOLD_PROOF_SECONDS)
        self.stdout.write("Cleaning goes on.")

    def count(self, *, purge: bool, json: bool, **_: Any) -> None:
        """Say what there is to do."""
        due = self.due(purge=purge)
        if json:
            self.print_json(due | {"dryRun": True})
        else:
            tail = f", and drop the events of {due['ended']:,} tombstones" if due["ended"] else ""
            self.stdout.write(
                f"Would settle {due['settled']:,} and purge {due['purged']:,} sessions{tail}."
            )

    def due(self, *, purge: bool) -> dict[str, int]:
        """Count; ``ended`` are the tombstones whose events are old."""
        tiers = get_tiers()
        return {
            "settled": sweeping.count_due(tiers),
            "purged": sweeping.count_purgeable(tiers) if purge else 0,
            "ended": sweeping.count_ended(tiers) if purge else 0,
        }

    def clean(
        self,
        is_stopped: Callable[[], bool],
        *,
        batch_size: int | None,
        purge: bool,
        pace: bool,
        json: bool,
        **_: Any,
    ) -> None:
        """Work batch by batch until nothing is left or somebody says stop; say what was done."""
        tiers = get_tiers()
        due = self.due(purge=purge)
        pacer = pacing.database_pacer(tiers, largest=batch_size, is_stopped=is_stopped, rests=pace)

        def run(name: str, title: str, total: int, work: Callable[[Cleaner], Run]) -> str:
            out = None if json else self.stdout
            with self.following(name, title, total, pacer, out) as advance:
                cleaner = Cleaner(
                    tiers=tiers, pacer=pacer, actor=ACTOR, waits=True, advance=advance
                )
                return work(cleaner).ended_by

        ended_by = run("settled", "Settling", due["settled"], Cleaner.settle)
        if purge and ended_by == "done":
            ended_by = run("purged", "Purging", due["purged"], Cleaner.purge)
        if purge and ended_by == "done":
            ended_by = run("eventsDropped", "Dropping events", 0, Cleaner.drop_events)
        if json:
            self.print_json(self.done | {"endedBy": ended_by})
        elif any(self.done.values()):
            self.stdout.write(self.summary())
        elif ended_by == "done":
            self.stdout.write("Nothing to clean up.")
        if ended_by != "done":
            raise CommandError(_ENDINGS[ended_by])

    @contextmanager
    def following(
        self, name: str, title: str, total: int, pacer: Pacer, out: OutputWrapper | None
    ) -> Iterator[Callable[[int], None]]:
        """Yield what counts a batch and shows how far the work is, and how the database is."""
        shown = (
            nullcontext(lambda _: None) if out is None else progress(title, total=total, out=out)
        )
        with shown as show:

            def advance(number: int) -> None:
                self.done[name] += number
                show(number)
                now = time.monotonic()
                if pacer.trouble and now - self.noted_at >= _SECONDS_BETWEEN_NOTES:
                    self.noted_at = now
                    self.stderr.write(f"The database is busy, so this goes slowly: {pacer.trouble}")

            yield advance

    def summary(self) -> str:
        """Return what was done so far."""
        seconds = time.monotonic() - self.began
        took = f" in {seconds:,.0f} s" if seconds >= _SECONDS_WORTH_SAYING else ""
        settled, purged, events = self.done.values()
        tail = f" Dropped {events:,} events of tombstones." if events else ""
        return f"Settled {settled:,} and purged {purged:,} sessions{took}.{tail}"

    def print_json(self, found: dict[str, Any]) -> None:
        """Print one line."""
        seconds = round(time.monotonic() - self.began, 3)
        self.stdout.write(msgspec.json.encode(found | {"seconds": seconds}).decode())


def _is_alone(options: dict[str, Any]) -> bool:
    others = (options["dry_run"], options["json"], options["batch_size"] is not None)
    return options["purge"] and options["pace"] and not any(others)

"""``manage.py backfill_sessions``: import a legacy store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

from legacy_adapters.conf import get_adapter, get_source
from legacy_adapters.exceptions import LegacyAdaptersError, OpenRunError
from legacy_adapters.management.backfill_options import (
    BATCH_SIZE,
    LAST,
    add_options,
    refuse_contradictions,
)
from legacy_adapters.migration.backfill import runs, telling
from legacy_adapters.migration.backfill.driving import Driver
from legacy_adapters.migration.backfill.pace import Throttle, backfill_pacer
from legacy_adapters.migration.backfill.reporting import Report, tally_of
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.models import BackfillRun
from legacy_adapters.tasks import run_backfills
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.progress import progress
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep.pacing import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter

STOPS = (
    LegacyAdaptersError,
    DatabaseUnavailableError,
    OperationalError,
    InterfaceError,
    KeyboardInterrupt,
)
_KEPT: Final = "What was imported so far stays"
_DECIDE: Final = "Decide the conflicting ones in the admin, under Conflicts."
_HELD: Final = "Paced work is on hold: `cleanup_sessions --hold` is running somewhere."


class Command(BaseCommand):
    """Import every record of a legacy store that can be a session."""

    help = (
        "Import a legacy store's sessions. Safe beside shoppers, beside itself, and to kill at any "
        "moment: its place is saved with each batch, --resume goes on there, and what is imported "
        "already stays as it is. It goes slowly while the database is busy. Ctrl-C stops it after "
        "the batch under way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what to read and how."""
        add_options(parser)

    def handle(self, **options: Any) -> None:
        """Do what is asked for."""
        refuse_contradictions(options)
        source = options["source"]
        try:
            get_source(source)
        except (LegacyAdaptersError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from exc
        if options["status"]:
            self.tell_status(source, as_json=options["json"])
            return
        if options["pause"]:
            self.pause(source)
            return
        adapter = self.adapter(source)
        kept = "Nothing was written" if options["dry_run"] else _KEPT
        again = "run it again." if options["dry_run"] else "--resume goes on."
        try:
            with interruptible() as is_stopped:
                if options["dry_run"]:
                    self.try_out(adapter, is_stopped, options)
                else:
                    self.import_all(adapter, is_stopped, options)
        except STOPS as exc:
            reason = str(exc).strip() or "Stopped."
            if isinstance(exc, OpenRunError):
                raise CommandError(reason) from exc
            raise CommandError(f"{reason.rstrip('.')}. {kept}; {again}") from exc

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
            raise CommandError(
                f"{problem.rstrip('.')}. Nothing was written: put it right, and run it again."
            )
        return adapter

    def try_out(
        self, adapter: LegacyAdapter, is_stopped: Callable[[], bool], options: dict[str, Any]
    ) -> None:
        """Do everything, and undo each batch."""
        since, limit = self.since(options), options["limit"]
        total = adapter.count(since=since)
        throttle = Throttle(options["throttle"] or None, is_stopped=is_stopped)
        pacer = backfill_pacer(
            get_tiers(),
            throttle,
            largest=options["batch_size"] or BATCH_SIZE,
            is_stopped=is_stopped,
            rests=options["pace"],
        )
        total = total if limit is None else min(limit, total)
        with progress(f"Reading {adapter.source}", total=total, out=self.stdout) as show:

            def advance(number: int) -> None:
                throttle.spend(number)
                show(number)

            report = backfill(
                adapter,
                limit=limit,
                since=since,
                is_dry_run=True,
                sizes=pacer.sizes(),
                advance=advance,
            )
        self.tell(report, options, is_dry_run=True)
        if pacer.ended_by is not None:
            raise CommandError("Stopped before the end. Nothing was written.")

    def import_all(
        self, adapter: LegacyAdapter, is_stopped: Callable[[], bool], options: dict[str, Any]
    ) -> None:
        """Begin a run, or go on with one; then work, or leave it to the background."""
        run = self.run(adapter, options)
        if options["background"]:
            self.wake(run)
            return
        before = tally_of(run).read
        title = f"Reading {adapter.source}"
        with progress(title, total=run.total, done=before, out=self.stdout) as advance:
            driver = Driver(
                run=run,
                adapter=adapter,
                workers=options["workers"],
                rests=options["pace"],
                is_stopped=is_stopped,
                advance=advance,
                warn=self.warn,
            )
            ended_by = driver.drive(limit=options["limit"])
        run.refresh_from_db()
        if runs.finish_if_done(run):
            self.tell(self.report(run, options), options)
        else:
            self.tell_rest(run, ended_by, options)

    def run(self, adapter: LegacyAdapter, options: dict[str, Any]) -> BackfillRun:
        """Return the run to work on."""
        found = runs.open_run(adapter.source)
        if found is not None and options["resume"]:
            runs.go_on(
                found,
                is_background=options["background"],
                rows_per_second=options["throttle"],
                batch_size=options["batch_size"],
            )
            return found
        if found is not None and options["restart"]:
            runs.abandon(found, reason="abandoned by --restart")
        runs.refuse_if_open(adapter.source)
        run = runs.begin(
            adapter,
            batch_size=options["batch_size"] or BATCH_SIZE,
            workers=options["workers"],
            since=self.since(options),
            rows_per_second=options["throttle"] or None,
            is_background=options["background"],
        )
        if not run.is_background:
            runs.start(run)
        return run

    def since(self, options: dict[str, Any]) -> datetime | None:
        """Return from when on to read."""
        since: datetime | str | None = options["since"]
        if since != LAST:
            return since  # type: ignore[return-value]
        found = runs.since_last(options["source"])
        if found is None:
            self.warn("No backfill of this store has finished yet: reading all of it.")
        return found

    def wake(self, run: BackfillRun) -> None:
        """Tell the Celery workers, and the person how to follow them."""
        try:
            run_backfills.apply_async(retry=False)
        except BrokerError:
            self.warn("The broker does not answer: the work begins when it is back.")
        self.stdout.write(
            f"{str(run).capitalize()} is left to the Celery workers: about {run.total:,} records. "
            "--status says how far it is, --pause stops it."
        )

    def pause(self, source: str) -> None:
        """Set the flag that workers look at in each batch."""
        run = runs.open_run(source)
        if run is None:
            raise CommandError(f"No backfill of {source} is under way.")
        runs.pause(run)
        self.stdout.write(
            f"{str(run).capitalize()} is paused: its workers stop after their batch. "
            "--resume goes on."
        )

    def tell_status(self, source: str, *, as_json: bool) -> None:
        """Print how far the last runs are."""
        found, now = telling.recent(source), get_clock().now()
        if as_json:
            self.print_json([telling.as_json(run, now=now) for run in found])
            return
        if not found:
            self.stdout.write(f"There has been no backfill of {source}.")
        for run in found:
            for line in telling.status(run, now=now):
                self.stdout.write(line)

    def tell_rest(self, run: BackfillRun, ended_by: str, options: dict[str, Any]) -> None:
        """Say why the run is not over, and how to go on; only what was wished for is no error."""
        read = f"{tally_of(run).read:,} of about {run.total:,} records"
        if run.state == BackfillRun.State.PAUSED:
            self.stdout.write(f"Paused after {read}. --resume goes on.")
        elif run.state not in runs.OPEN:
            raise CommandError(f"{str(run).capitalize()} is over: {run.problem or run.state}.")
        elif ended_by == "limit":
            self.tell(self.report(run, options), options)
            self.warn(f"Stopped at the limit, after {read}. --resume goes on.")
        else:
            why = _HELD if ended_by == "held" else f"Stopped before the end, after {read}."
            raise CommandError(f"{why} {_KEPT}; --resume goes on.")

    def report(self, run: BackfillRun, options: dict[str, Any]) -> Report:
        """Return what the run did, with no more findings than are printed."""
        return Report.of(run, each=None if options["json"] else telling.SHOWN)

    def tell(self, report: Report, options: dict[str, Any], *, is_dry_run: bool = False) -> None:
        """Print what became of the records."""
        if options["json"]:
            self.print_json(report.as_json())
            return
        if not report.read:
            none = "nothing was changed since then" if options["since"] else "it is empty"
            self.stdout.write(f"Nothing to import from the legacy store: {none}.")
            return
        for line in telling.counts(report.tally, is_dry_run=is_dry_run):
            self.stdout.write(line)
        for title, lines in telling.findings(report):
            self.stdout.write(self.style.WARNING(title))
            for line in lines:
                self.stdout.write(line)
        if report.tally.conflicting and not is_dry_run:
            self.warn(_DECIDE)

    def warn(self, text: str) -> None:
        """Tell it beside the report."""
        self.stderr.write(self.style.WARNING(text))

    def print_json(self, found: Any) -> None:
        """Print one line."""
        self.stdout.write(json.dumps(found, ensure_ascii=False, cls=DjangoJSONEncoder))

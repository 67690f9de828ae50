"""``manage.py verify_sessions``: whether a legacy store and the sessions here say the same."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import (
    LegacyAdaptersError,
    SourceUnavailableError,
    UnsupportedOperationError,
)
from legacy_adapters.management.options import moment, positive
from legacy_adapters.verifying import Scope, advice, report_lines, verify
from sessions_unified.exceptions import DatabaseUnavailableError, SealedValueError
from sessions_unified.progress import progress
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.verifying import Report

STOPS: Final = (
    ImproperlyConfigured,
    LegacyAdaptersError,
    DatabaseUnavailableError,
    SealedValueError,
    DatabaseError,
    KeyboardInterrupt,
)
CANNOT_COMPARE: Final = 2
_SEEDS: Final = 10_000
_LONGEST_RECHECK: Final = 600


class Command(BaseCommand):
    """Compare, say what differs, and what to do about it."""

    help = (
        "Compare a legacy store with the sessions here, field by field, and write nothing on "
        "either side. A difference counts if it is still there after a moment. Exits with 0 if "
        "both sides agree, 1 if they do not, and 2 if they could not be compared."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what to compare and how."""
        parser.add_argument("--source", required=True, help="A key of LEGACY_ADAPTERS: database.")
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--sample",
            type=positive,
            metavar="N",
            help="Compare about so many records from random places, instead of all of them.",
        )
        which.add_argument(
            "--since",
            type=moment,
            metavar="WHEN",
            help="Only what the store says was changed from then on: 2026-11-21 or "
            "2026-11-21T08:30; UTC if it says no other.",
        )
        parser.add_argument("--seed", type=int, metavar="N", help="Draw the same sample again.")
        parser.add_argument(
            "--recheck",
            type=seconds,
            default=2.0,
            metavar="SECONDS",
            help="How long until a difference is looked at again (2).",
        )
        parser.add_argument(
            "--batch-size", type=positive, default=500, help="Records a statement (500)."
        )
        parser.add_argument(
            "--show",
            type=positive,
            default=20,
            metavar="N",
            help="How many of each kind are named; the rest is counted (20).",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object, on the last line."
        )

    def handle(
        self, *, source: str, sample: int | None, since: datetime | None, **options: Any
    ) -> None:
        """Compare, then report."""
        seed = options["seed"]
        scope = Scope(
            sample=sample,
            seed=random.randrange(_SEEDS) if seed is None else seed,  # noqa: S311
            since=since,
            batch_size=options["batch_size"],
        )
        try:
            report = self.compare(_readable(source), scope, **options)
        except STOPS as exc:
            reason = str(exc).strip() or "Stopped before the end."
            unknown = "So it is not known whether both sides agree; nothing was changed."
            text = f"{reason.rstrip('.')}. {unknown}"
            raise CommandError(text, returncode=CANNOT_COMPARE) from exc
        if options["json"]:
            said = {"source": source, **scope.as_json(), **report.as_json()}
            self.stdout.write(json.dumps(said, ensure_ascii=False))
        else:
            for line in report_lines(report, source=source, scope=scope):
                self.stdout.write(getattr(self.style, line.look, str)(line.text))
        if report.disagreements:
            raise CommandError(advice(report, source=source))

    def compare(self, adapter: LegacyAdapter, scope: Scope, **options: Any) -> Report:
        """Verify, showing how far it is."""
        total = scope.sample or adapter.count(since=scope.since)
        out = self.stderr if options["json"] else self.stdout
        with progress("Comparing", total=total, out=out) as advance:
            return verify(
                get_tiers(),
                adapter,
                scope,
                recheck_seconds=options["recheck"],
                shown=options["show"],
                advance=advance,
            )


def _readable(source: str) -> LegacyAdapter:
    """Return the store's adapter, ready to be read.

    Raises:
        LegacyAdaptersError: there is no such store, or it cannot be listed or read.

    """
    adapter = get_adapter(source)
    if not adapter.supports_scan:
        raise UnsupportedOperationError(
            f"The legacy store {source!r} cannot be listed. Its sessions are compared when their "
            "shoppers come."
        )
    problem = adapter.health().problem
    if problem is not None:
        raise SourceUnavailableError(problem)
    return adapter


def seconds(text: str) -> float:
    """Return a short duration."""
    number = float(text)
    if not 0 <= number <= _LONGEST_RECHECK:
        raise ValueError
    return number

"""``manage.py audit_tiers``: whether the caches say what the database says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_unified.auditing import audit
from sessions_unified.auditing.choosing import estimate
from sessions_unified.auditing.report import MEANINGS
from sessions_unified.conf import get_conf
from sessions_unified.doctor.findings import reason
from sessions_unified.exceptions import DatabaseUnavailableError, TierUnavailableError
from sessions_unified.ids import is_session_id
from sessions_unified.progress import progress
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from sessions_unified.auditing.report import AuditReport
    from sessions_unified.tiers import Tiers

_CASES_SHOWN = 20


class Command(BaseCommand):
    """Compare, say what diverges, and what to do about it."""

    help = (
        "Compare the tiers of sessions: what Redis holds with the database, and the database with "
        "its event log. A difference counts when it is still there after two seconds. Exits with "
        "1 while divergences remain. Safe beside shoppers; it takes its time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which sessions, and what to do with what diverges."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="Compare every session and copy.")
        which.add_argument(
            "--sample", type=int, metavar="N", help="Compare about so many: AUDIT_SAMPLE if absent."
        )
        which.add_argument("--id", nargs="+", metavar="ID", help="Compare these sessions.")
        parser.add_argument(
            "--repair", action="store_true", help="Drop what diverges from the caches."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, repair: bool, **options: Any) -> None:
        """Compare, and print."""
        if options["sample"] is not None and options["sample"] < 1:
            raise CommandError("--sample must be at least 1.")
        malformed = [each for each in options["id"] or () if not is_session_id(each)]
        if malformed:
            raise CommandError(f"No session id: {', '.join(malformed)}.")
        began = time.monotonic()
        try:
            report = self.run(get_tiers(), repair=repair, **options)
        except TierUnavailableError as exc:
            raise CommandError(f"{_down(exc)} Nothing can be compared; try again.") from exc
        report.unknown = report.unknown if options["id"] else []
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report.as_json()).decode())
        else:
            self.show(report, time.monotonic() - began)
        if report.remaining:
            raise CommandError(_advice(report, repair=repair))

    def run(self, tiers: Tiers, *, repair: bool, **options: Any) -> AuditReport:
        """Audit, showing how far it is."""
        if options["id"]:
            return audit(tiers, ids=options["id"], repair=repair)
        sample = None if options["all"] else options["sample"] or get_conf().AUDIT_SAMPLE
        out = self.stderr if options["json"] else self.stdout
        total = sample or estimate(tiers)
        with progress("Comparing", total=total, out=out) as advance:
            return audit(tiers, sample=sample, repair=repair, advance=advance)

    def show(self, report: AuditReport, seconds: float) -> None:
        """Print the sums, then the cases."""
        self.stdout.write(
            f"Compared {report.sessions:,} sessions and {report.copies:,} cached copies "
            f"in {seconds:.0f} s."
        )
        for (tier, kind), number in sorted(report.counts.items()):
            line = f"  {number:,} {kind} in {tier}: {MEANINGS[kind]}"
            self.stdout.write(self.style.WARNING(line))
        for case in report.cases[:_CASES_SHOWN]:
            self.stdout.write(f"    {case}")
        if report.found > _CASES_SHOWN:
            self.stdout.write(f"    and {report.found - _CASES_SHOWN:,} more")
        for session_id in report.unknown:
            self.stdout.write(f"  {session_id}: no row and no copy")
        if report.repaired:
            self.stdout.write(f"Repaired {report.repaired:,}.")
        if not report.remaining and (report.sessions or not report.unknown):
            self.stdout.write(self.style.SUCCESS("Nothing diverges."))


def _down(exc: TierUnavailableError) -> str:
    """Say which server failed, and why; the API's advice to its clients is none for operators."""
    if not isinstance(exc, DatabaseUnavailableError):
        return f"{str(exc).rstrip('.')}."
    cause = f": {reason(exc)}" if exc.__cause__ is not None else ""
    return f"The database did not answer{cause.rstrip('.')}."


def _advice(report: AuditReport, *, repair: bool) -> str:
    in_caches = sum(number for (tier, _), number in report.counts.items() if tier != "database")
    said = [f"{report.remaining:,} divergences remain."]
    if in_caches and not repair:
        said.append(
            "Does the relay run (manage.py run_relay)? --repair drops them from the caches."
        )
    elif in_caches > report.repaired:
        said.append("Some came back after their repair: run it again.")
    if report.counts["database", "log"]:
        said.append(
            "A row without its event was changed by hand or restored in part: inspect_session ID."
        )
    return " ".join(said)

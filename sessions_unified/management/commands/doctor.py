"""``manage.py doctor``: is everything there that sessions need, and what to do where it isn't."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_unified.doctor import CHECKS, Finding, Status, run

if TYPE_CHECKING:
    from collections.abc import Callable

_NARROW = 60


class Command(BaseCommand):
    """Look at every dependency by a live round trip."""

    help = (
        "Look at everything that sessions need, by live round trips: database, Redis, the "
        "invalidation channel, broker and workers, keys, clock, relay and clean-up. Says what to "
        "do about what it finds. Writes nothing that stays. Exit code 1 if something failed."
    )
    # A settings check that fails is the first thing the doctor should say, not an obstacle.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how to print."""
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument(
            "--timeout", type=float, default=5, metavar="SECONDS", help="What one check may take."
        )

    def handle(self, *, json: bool, timeout: float, **_: Any) -> None:
        """Run the checks one by one, and print each as soon as it is known."""
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise CommandError("--timeout must be more than 0 seconds.")
        try:
            self.examine(json=json, seconds=timeout)
        except BrokenPipeError:  # `doctor | head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def examine(self, *, json: bool, seconds: float) -> None:
        """Run them; exits with 1 if one failed."""
        found: dict[str, Finding] = {}
        for name, finding in run(CHECKS, seconds=seconds):
            found[name] = finding
            if not json:
                self.line(name, finding)
        worst = {finding.status for finding in found.values()}
        if json:
            self.stdout.write(msgspec.json.encode({"checks": found}).decode())
        else:
            self.verdict(found)
        self.stdout.flush()
        if Status.FAIL in worst:
            sys.exit(1)

    def line(self, name: str, finding: Finding) -> None:
        """Print one finding, and under it what to do."""
        width = max(len(check.name) for check in CHECKS)
        styles: dict[Status, Callable[[str], str]] = {
            Status.OK: self.style.SUCCESS,
            Status.SKIP: self.style.NOTICE,
            Status.WARN: self.style.WARNING,
            Status.FAIL: self.style.ERROR,
        }
        mark = styles[finding.status](f"{finding.status:<4}")
        took = "" if finding.ms is None else f"{finding.ms:.1f} ms"
        self.stdout.write(f"{mark}  {name:<{width}}  {took:>10}  {finding.text}")
        indent = " " * (4 + 2 + width + 2 + 10 + 2)
        columns = max(_NARROW, shutil.get_terminal_size().columns - len(indent))
        for text in (finding.advice, finding.runbook):
            for part in textwrap.wrap(text, columns, break_on_hyphens=False):
                self.stdout.write(f"{indent}{part}")

    def verdict(self, found: dict[str, Finding]) -> None:
        """Print the sum of it."""
        failures = [name for name, each in found.items() if each.status is Status.FAIL]
        warnings = [name for name, each in found.items() if each.status is Status.WARN]
        self.stdout.write("")
        if failures:
            self.stdout.write(self.style.ERROR(f"Failed: {', '.join(failures)}."))
        if warnings:
            self.stdout.write(self.style.WARNING(f"Look at: {', '.join(warnings)}."))
        if not failures and not warnings:
            self.stdout.write(self.style.SUCCESS("All is well."))

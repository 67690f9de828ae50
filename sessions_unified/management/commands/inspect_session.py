"""``manage.py inspect_session ID``: everything that is known of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_unified.columns import Column, side_by_side
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SealedValueError,
    SessionNotFoundError,
)
from sessions_unified.field_lines import (
    NONE,
    as_json,
    label,
    leaves,
    moment,
    text,
)
from sessions_unified.inspection import Inspection, inspect_session
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_IN_TITLE: Final = frozenset({"id", "status", "currentStep"})


class Command(BaseCommand):
    """Show one session: its fields, its timeline, and what each tier and store holds now."""

    help = (
        "Show one session: its fields, its timeline, and what each tier holds of it now. What "
        "other stores have of it (OTHER_COPIES: while migrating, the legacy ones) stands beside "
        "it, field by field."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the id, and how to show it."""
        parser.add_argument("session_id", metavar="ID", help="The session's id: ws_…")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument("--show-pii", action="store_true", help="Show personal data unmasked.")

    def handle(self, *, session_id: str, show_pii: bool, **options: Any) -> None:
        """Look, and print."""
        try:
            found = inspect_session(get_tiers(), session_id, shows_pii=show_pii)
        except (SessionNotFoundError, DatabaseUnavailableError, SealedValueError) as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(as_json(found.as_json()))
            return
        self.title(found)
        if found.elsewhere:
            self.side_by_side(found)
        elif found.session is not None:
            self.table([*_facts(found), *_bookkeeping(found)])
        self.section("Timeline")
        self.table(_timeline(found))
        self.section("Tiers now")
        self.table(_tiers(found))
        if found.copies:
            self.section("Other stores now")
            self.table(_copies(found))
        self.verdict(found)

    def title(self, found: Inspection) -> None:
        """Print which session it is and how it stands, in one line."""
        if found.deleted_at is not None:
            state = f"deleted {moment(found.deleted_at)}; its personal data is gone"
        elif found.session is None:
            state = "is not here"
        else:
            state = f"{found.session['status']} / {found.session['currentStep']}"
        self.stdout.write(self.style.MIGRATE_HEADING(f"{found.id}  {state}"))

    def side_by_side(self, found: Inspection) -> None:
        """Print a line a leaf and a column a store; what differs from ours is marked."""
        columns = [
            Column("here", found.session or {}),
            *(
                Column(each.name, each.session or {}, each.differing_leaves)
                for each in found.elsewhere
            ),
        ]
        for line in side_by_side(columns):
            self.stdout.write(self.style.WARNING(line.text) if line.differs else line.text)
        if found.session is not None:
            self.stdout.write("")
            self.table(_bookkeeping(found))

    def section(self, title: str) -> None:
        """Print a heading."""
        self.stdout.write("")
        self.stdout.write(self.style.MIGRATE_HEADING(title))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Print rows in columns as wide as they need to be; the last one may run on."""
        lines = list(rows)
        if not lines:
            self.stdout.write("  nothing")
            return
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write(f"  {'  '.join(cells)}".rstrip())

    def verdict(self, found: Inspection) -> None:
        """Print what is wrong, or that nothing is."""
        self.stdout.write("")
        if found.session is None and found.elsewhere:
            names = " and ".join(copy.name for copy in found.elsewhere)
            was = "was deleted here" if found.deleted_at is not None else "is not here"
            self.stdout.write(self.style.WARNING(f"It {was}; {names} has it."))
            return
        problems = found.health.problems if found.session is not None else ()
        silent = [copy.name for copy in found.copies if copy.error is not None]
        if not problems and not silent:
            self.stdout.write(self.style.SUCCESS("Nothing is wrong with it."))
        if silent:
            names = " and ".join(silent)
            self.stdout.write(self.style.WARNING(f"What {names} has of it could not be read."))
        for problem in problems:
            self.stdout.write(self.style.WARNING(f"Problem: {problem}"))


def _facts(found: Inspection) -> Iterable[tuple[str, str]]:
    for leaf in leaves(found.session or {}):
        if leaf.field not in _IN_TITLE:
            yield label(leaf.path), leaf.text


def _bookkeeping(found: Inspection) -> Iterable[tuple[str, str]]:
    yield "holds", f"{found.holds}  (open charges; no expiry, no deletion)" if found.holds else "0"
    yield "last seen", text(found.last_seen_at)
    yield "past its end", "yes" if found.health.is_expired else "no"


def _timeline(found: Inspection) -> Iterable[tuple[str, ...]]:
    for event in found.events:
        details = as_json(event.data) if event.data else ""
        changed = f"({', '.join(event.changed)})" if event.changed else ""
        said = f"{details} {changed}".strip()
        yield f"v{event.seq}", moment(event.at), event.kind, event.actor, said


def _tiers(found: Inspection) -> Iterable[tuple[str, ...]]:
    yield "tier", "holds", "age", "against the database"
    for tier in found.health.tiers:
        holds = f"v{tier.version}" if tier.is_present else NONE
        age = f"{tier.age_seconds:.1f} s" if tier.age_seconds is not None else NONE
        if tier.error is not None:
            verdict = tier.error
        elif not tier.is_present:
            verdict = "no copy"
        else:
            differing = ", ".join(tier.differences)
            verdict = f"differs in {differing}" if differing else "the same"
        yield tier.name, holds, age, verdict


def _copies(found: Inspection) -> Iterable[tuple[str, str]]:
    for copy in found.copies:
        if copy.error is not None:
            yield copy.name, copy.error
        elif copy.session is None:
            yield copy.name, "no copy"
        elif found.session is None:
            yield copy.name, "has it"
        else:
            differing = ", ".join(copy.differences)
            yield copy.name, f"differs in {differing}" if differing else "says the same"

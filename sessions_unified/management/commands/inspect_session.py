"""``manage.py inspect_session ID``: everything that is known of one session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SealedValueError,
    SessionNotFoundError,
)
from sessions_unified.inspection import Inspection, inspect_session
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NONE = "-"

_numbers = msgspec.json.Encoder(decimal_format="number")


class Command(BaseCommand):
    """Show one session: its fields, its timeline, and what each tier holds now."""

    help = "Show one session: its fields, its timeline, and what each tier holds of it now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the id, and how to show it."""
        parser.add_argument("session_id", metavar="ID", help="The session's id: ws_…")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument("--show-pii", action="store_true", help="Show personal data unmasked.")

    def handle(self, *, session_id: str, show_pii: bool, **options: Any) -> None:
        """Look, and print."""
        try:
            found = inspect_session(get_tiers(), session_id, shows_pii=show_pii)
        except SessionNotFoundError as exc:
            raise CommandError(f"There never was a session {session_id} here.") from exc
        except (DatabaseUnavailableError, SealedValueError) as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(_numbers.encode(found.as_json()).decode())
            return
        self.title(found)
        if found.session is not None:
            self.table(_facts(found))
        self.section("Timeline")
        self.table(_timeline(found))
        self.section("Tiers now")
        self.table(_tiers(found))
        self.verdict(found)

    def title(self, found: Inspection) -> None:
        """Print which session it is and how it stands, in one line."""
        if found.session is None:
            state = f"deleted {_moment(found.deleted_at)}; its personal data is gone"
        else:
            state = f"{found.session['status']} / {found.session['currentStep']}"
        self.stdout.write(self.style.MIGRATE_HEADING(f"{found.id}  {state}"))

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
        problems = found.health.problems if found.session is not None else ()
        if not problems:
            self.stdout.write(self.style.SUCCESS("Nothing is wrong with it."))
        for problem in problems:
            self.stdout.write(self.style.WARNING(f"Problem: {problem}"))


def _facts(found: Inspection) -> Iterable[tuple[str, str]]:
    session = dict(found.session or {})
    upsells = session.pop("upsells", {})
    for name in ("id", "status", "currentStep"):
        session.pop(name, None)
    for name, value in session.items():
        if name == "products":
            yield from _products(value)
        else:
            yield from _flat(name, value)
    for name, value in upsells.items():
        yield from _flat(f"upsells.{name}", value)
    yield "holds", f"{found.holds}  (open charges; no expiry, no deletion)" if found.holds else "0"
    yield "last seen", _text(found.last_seen_at)
    yield "past its end", "yes" if found.health.is_expired else "no"


def _flat(name: str, value: Any) -> Iterable[tuple[str, str]]:
    """Return one line a leaf: an object is easier to read as ``customer.address.city``."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    elif isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
        yield name, ", ".join(value) or NONE
    else:
        yield name, _text(value)


def _products(lines: Iterable[dict[str, Any]]) -> Iterable[tuple[str, str]]:
    label = "products"
    for line in lines:
        yield label, f"{line['quantity']} x {line['id']}  {line['name']}  {_text(line['price'])}"
        label = ""
    if label:
        yield label, NONE


def _timeline(found: Inspection) -> Iterable[tuple[str, ...]]:
    for event in found.events:
        details = _json(event.data) if event.data else ""
        changed = f"({', '.join(event.changed)})" if event.changed else ""
        text = f"{details} {changed}".strip()
        yield f"v{event.seq}", _moment(event.at), event.kind, event.actor, text


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


def _text(value: Any) -> str:
    if value is None or value in ((), {}):
        return NONE
    if isinstance(value, datetime):
        return _moment(value)
    return _json(value) if isinstance(value, dict | list | tuple) else str(value)


def _json(value: Any) -> str:
    return _numbers.encode(value).decode()


def _moment(value: datetime | None) -> str:
    return NONE if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

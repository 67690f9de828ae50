"""The options of ``backfill_sessions``: what they are, and which do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError

from legacy_adapters.management.options import moment, natural, positive

if TYPE_CHECKING:
    from datetime import datetime

    from django.core.management.base import CommandParser

BATCH_SIZE: Final = 5_000
LAST: Final = "last"
MODES: Final = ("resume", "restart", "dry_run", "pause", "status")
"""One of these at most; none: a new run."""


def add_options(parser: CommandParser) -> None:
    """Say what to read and how."""
    add = parser.add_argument
    add("--source", required=True, help="A key of LEGACY_ADAPTERS: database.")
    add(
        "--resume",
        action="store_true",
        help="Go on with the run that is not over; begin one if there is none.",
    )
    add("--restart", action="store_true", help="Abandon that run, and begin anew.")
    add("--dry-run", action="store_true", help="Count, and write nothing.")
    add("--limit", type=positive, help="Stop after this many records; --resume goes on.")
    add("--batch-size", type=positive, help=f"Records a transaction at most ({BATCH_SIZE:,}).")
    add("--workers", type=positive, default=1, help="Processes that share the work (1).")
    add(
        "--throttle",
        type=natural,
        metavar="ROWS_PER_SECOND",
        help="Read no faster; 0: as fast as the database allows. --resume keeps it.",
    )
    add(
        "--since",
        type=moment_or_last,
        help="Only what was changed then or later, by the store's own word: an ISO 8601 time, "
        f"or {LAST!r}: since the beginning of the last finished run, less 10 minutes.",
    )
    add(
        "--no-pace",
        dest="pace",
        action="store_false",
        help="The largest batches without a rest, however busy the database is.",
    )
    add("--background", action="store_true", help="Leave the work to the Celery workers.")
    add("--pause", action="store_true", help="Let all workers stop; --resume goes on.")
    add("--status", action="store_true", help="Say how far the last runs are.")
    add("--json", action="store_true", help="Print one object on the last line, for scripts.")


def refuse_contradictions(options: dict[str, Any]) -> None:
    """Raise `CommandError` for options that do not go together."""
    modes = (*MODES, "background") if not options["resume"] and not options["restart"] else MODES
    given = [f"--{mode.replace('_', '-')}" for mode in modes if options[mode]]
    if len(given) > 1:
        raise CommandError(f"{' and '.join(given)} do not go together.")
    if options["dry_run"] and options["workers"] > 1:
        raise CommandError("--dry-run is for one worker.")
    if options["limit"] is not None and (options["workers"] > 1 or options["background"]):
        raise CommandError("--limit is for one worker, here.")
    if options["resume"] and options["since"] is not None:
        raise CommandError("--resume reads what its run began to read: leave out --since.")


def moment_or_last(text: str) -> datetime | str:
    """Return a time, or `LAST`."""
    return text if text == LAST else moment(text, LAST)

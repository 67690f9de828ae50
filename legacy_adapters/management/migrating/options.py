"""The actions of ``migration``, and the options of each."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.management.options import positive
from legacy_adapters.migration.stages.names import Endpoint, Stage

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Collection

    from django.core.management.base import CommandParser

ALL: Final = "all"
WATCH_SECONDS: Final = 30
_SMALLEST: Final = Decimal("0.01")
_LARGEST: Final = Decimal(100)

ACTIONS: Final = {
    "status": "Say where every endpoint is, and what stands in the way of its next move.",
    "plan": "Say what a move would do, and which gates are shut. Changes nothing. Exits with 1 if "
    "one is shut.",
    "advance": "Move endpoints forward, if their gates are open.",
    "rollback": "Move endpoints back. No gate is asked, and no write is lost.",
    "pause": "Hold endpoints where they are: none advances until it is resumed.",
    "resume": "Let endpoints advance again.",
    "history": "Say who moved what, when and why, and what moved back by itself.",
    "retire": "The last phase: see that nothing uses the old table any more, archive it, drop it, "
    "and say what may be deleted.",
}
MOVES: Final = ("advance", "rollback", "pause", "resume")
_WHERE: Final = ("plan", "advance", "rollback")
_NOTHING: Final = "Accepted with every action; changes nothing here."


def add_actions(parser: CommandParser) -> None:
    """Say what can be done, and how."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        if name == "retire":
            _add_retiring(action)
        else:
            _add_moving(action, name)
        action.add_argument("--json", action="store_true", help="Print JSON, for scripts.")


def _add_moving(action: ArgumentParser, name: str) -> None:
    is_move = name in MOVES
    action.add_argument(
        "--endpoint",
        action="append",
        choices=[*Endpoint.values, ALL],
        required=is_move,
        metavar="ENDPOINT",
        help=f"One of {', '.join(Endpoint.values)}, or {ALL}; may be given several times."
        + ("" if is_move else " Without it: all."),
    )
    if name in _WHERE:
        action.add_argument(
            "--stage",
            choices=Stage.values,
            metavar="STAGE",
            help=f"Where to: {', '.join(Stage.values)}. Without it: the "
            + ("one before." if name == "rollback" else "next."),
        )
    action.add_argument("--percent", type=percentage, help=_percent_help(name))
    action.add_argument("--reason", required=is_move, help=_reason_help(name))
    if is_move:
        action.add_argument(
            "--actor", default=None, help="Who: without it, the name of the account here."
        )
    if name == "history":
        action.add_argument(
            "--limit", type=positive, default=20, metavar="N", help="How many, the last first (20)."
        )


def _percent_help(name: str) -> str:
    if name not in _WHERE:
        return _NOTHING
    return "For so many percent of the sessions, 0.01 to 100; the others are at the stage before."


def _reason_help(name: str) -> str:
    if name in MOVES:
        return "Why: it goes into the history."
    return "Why: shown as the move would record it." if name == "plan" else _NOTHING


def _add_retiring(action: ArgumentParser) -> None:
    add = action.add_argument
    add("--source", help="A key of LEGACY_ADAPTERS. Without it: the primary store.")
    add(
        "--watch",
        type=positive,
        default=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"How long to look whether anybody uses the table ({WATCH_SECONDS}).",
    )
    add(
        "--archive",
        type=Path,
        metavar="FILE",
        help="Copy the table to a new file, CSV in gzip; with --drop, one made before does too.",
    )
    add("--drop", action="store_true", help="Drop the table once the archive has all of it.")
    add("--confirm", metavar="NAME", help="The table's name, as the settings have it: for --drop.")
    add("--dry-run", action="store_true", help="Look and say; write and drop nothing.")


def endpoints_of(options: dict[str, Any]) -> list[Endpoint]:
    """Return the endpoints that are asked for, each once, in their own order."""
    given: Collection[str] = options["endpoint"] or [ALL]
    return [each for each in Endpoint if ALL in given or each in given]


def actor_of(options: dict[str, Any]) -> str:
    """Return who acts: a name that was given, or the account's."""
    if options["actor"]:
        return str(options["actor"])
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in containers
        return f"uid {os.getuid()}"


def percentage(text: str) -> Decimal:
    """Return a percentage of at most two decimals."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(0)
    is_in_range = number.is_finite() and _SMALLEST <= number <= _LARGEST
    if not is_in_range or number != round(number, 2):
        raise ArgumentTypeError(f"{text!r} is no percentage from 0.01 to 100.")
    return number

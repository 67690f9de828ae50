"""The management commands: what their ``--help`` says."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from functools import cache
from typing import TYPE_CHECKING, Final

from docs.generators.markdown import ROOT, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS: Final = ("sessions_unified", "funnel", "legacy_adapters")


@cache
def commands() -> dict[str, str]:
    """Return command → app, of our apps."""
    found = {}
    for app in APPS:
        folder = ROOT / app / "management" / "commands"
        for path in sorted(folder.glob("[a-z]*.py")):
            found[path.stem] = app
    return found


def command_block(name: str) -> str:
    """Return what ``manage.py NAME --help`` says, as Markdown."""
    from django.core.management import load_command_class  # noqa: PLC0415

    command = load_command_class(commands()[name], name)
    parser = command.create_parser("manage.py", name)
    return "\n\n".join((command.help.strip(), *described(parser, f"manage.py {name}")))


def described(parser: ArgumentParser, words: str) -> Iterator[str]:
    """Yield a parser's usage and arguments; of one with actions, those of each."""
    own = [action for action in parser._actions if is_own(action)]  # noqa: SLF001
    for action in own:
        if isinstance(action, _SubParsersAction):
            for word, inner in action.choices.items():
                yield f"`{word}`: {inner.description}"
                yield from described(inner, f"{words} {word}")
            return
    yield f"```text\n{' '.join((words, *(usage_of(action) for action in own)))}\n```"
    if own:
        rows = [(f"`{spelling(action)}`", help_of(action)) for action in own]
        yield table(("Argument", "What it does"), rows)


_DJANGO: Final = {
    *("help", "version", "verbosity", "settings", "pythonpath", "traceback"),
    *("no_color", "force_color", "skip_checks"),
}


def is_own(action: Action) -> bool:
    """Tell whether an argument is the command's, and not one that all have."""
    return action.dest not in _DJANGO and action.help != SUPPRESS


def spelling(action: Action) -> str:
    """Return how an argument is written."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    flag = action.option_strings[-1]
    if action.nargs == 0:
        return flag
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    return f"{flag} {value}"


def usage_of(action: Action) -> str:
    """Return an argument's part of the usage line."""
    text = spelling(action)
    is_optional = (action.option_strings and not action.required) or action.nargs in {"?", "*"}
    return f"[{text}]" if is_optional else text


def help_of(action: Action) -> str:
    """Return an argument's help."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    default = "" if action.default in {None, SUPPRESS} else str(action.default)
    is_said = action.nargs == 0 or not default or default in text
    return prose(text) if is_said else f"{prose(text)} Default: {default}."

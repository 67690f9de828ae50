"""Rewrite the documentation's generated blocks in place: ``.venv/bin/python docs/generate.py``.

A block stands between ``<!-- generated: NAME -->`` and ``<!-- end generated -->``. What it says
comes from the code; `tests/unit/test_docs.py` fails when a block is out of date.
"""

# ruff: noqa: INP001  (a script, run by its path)

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from argparse import SUPPRESS, Action
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
APPS: Final = ("sessions_unified", "funnel", "legacy_adapters")

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-zA-Z_ .-]+) -->\n)(?P<body>.*?)"
    r"(?P<end><!-- end generated -->)",
    re.DOTALL,
)

# What each variable of funnel/settings.py means. Names and defaults are read from that file.
ENVIRONMENT: Final = {
    "SECRET_KEY": "Django's secret key: it signs the staff's login sessions and CSRF tokens.",
    "SESSION_TOKEN_KEYS": "The keys that encrypt shoppers' session tokens: `kid:key` pairs, "
    "separated by commas. A key is base64url of 32 random bytes. The first issues, all of them "
    "open ([rotating them](docs/howto/rotate-token-keys.md)).",
    "DATABASE_URL": "The PostgreSQL database (14 or newer): "
    "`postgresql://user:password@host:5432/name`.",
    "DATABASE_POOL_MAX": "Most connections to it from one process.",
    "DATABASE_POOL_SECONDS": "Longest wait for a connection of that pool.",
    "DATABASE_BUDGET_SECONDS": "Longest wait for the database in one request, all statements "
    "together.",
    "APPLICATION_NAME": "What PostgreSQL calls this process in `pg_stat_activity`. Empty: `funnel` "
    "and its program, such as `funnel gunicorn` or `funnel run_relay`.",
    "L1_ENABLED": "`0` turns off the copies in this process' memory: Redis and the database "
    "answer.",
    "PREPARED_STATEMENTS": "`0` behind a transaction pooler that cannot keep prepared statements.",
    "WATCH_SECONDS": "How often a process sets its clock by the database and sees whether it "
    "answers.",
    "REDIS_URL": "A server that speaks Redis' protocol, for the cache and the task queue.",
    "REDIS_TIMEOUT_MS": "Longest wait for one Redis command, and for its connection.",
    "REDIS_BUDGET_MS": "Longest wait for Redis in one request, all commands together.",
    "CELERY_BROKER_URL": "Another broker for the tasks, RabbitMQ for example.",
    "SITE_URL": "Where shoppers find the shop. One-time links begin with it, and it is the `iss` "
    "of session tokens: changing it makes the tokens in use invalid.",
    "ALLOWED_HOSTS": "Host names that the site answers to, separated by commas.",
    "CSRF_TRUSTED_ORIGINS": "More origins whose pages may send unsafe requests with cookies, "
    "separated by commas.",
    "INSECURE_HTTP": "`1` serves plain HTTP: cookies without `Secure` and without the `__Host-` "
    "prefix. For a laptop.",
    "SSL_REDIRECT": "Answer plain HTTP by a redirect to HTTPS.",
    "HSTS_SECONDS": "How long browsers remember to use HTTPS (`Strict-Transport-Security`).",
    "BEHIND_TLS_PROXY": "`1` believes the header `X-Forwarded-Proto`. Only behind a proxy that "
    "always sets it.",
    "PAYMENT_GATEWAY": "Dotted path of the payment gateway's class.",
    "LEGACY_DATABASE_URL": "The old shop's database, where its session table is. Empty: the main "
    "database.",
    "LEGACY_SESSION_TABLE": "The old shop's session table: `table` or `schema.table`.",
    "STATIC_ROOT": "Where `manage.py collectstatic` puts the static files.",
    "METRICS_TOKEN": "What Prometheus sends as `Authorization: Bearer …` to read `/metrics`. "
    "Empty: nobody may, except with `INSECURE_HTTP`.",
    "METRICS_PORT": "Where a worker answers `/metrics` too, with what it has counted. 0: nowhere.",
    "PROMETHEUS_MULTIPROC_DIR": "A directory where the processes of one machine or container put "
    "what they count, so that any of them can show it all ([monitor](docs/howto/monitor.md)). "
    "Empty: each shows its own.",
    "LOG_FORMAT": "`json`, or `lines` for people.",
    "LOG_LEVEL": "The least severe messages that are logged.",
    "DEBUG": "Django's debug mode. Never in production.",
}
_DEFAULTS: Final = {"STATIC_ROOT": "`.local/static`", "CELERY_BROKER_URL": "`REDIS_URL`"}


def main() -> int:
    """Rewrite every file that has blocks; say which changed."""
    prepare_django()
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, path)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"Rewrote {path.relative_to(ROOT)}.\n")
    return 0


def prepare_django() -> None:
    """Load the site's settings with stand-ins for what is secret; nothing connects to them."""
    import django  # noqa: PLC0415  (after the path is set)

    sys.path.insert(0, str(ROOT))
    stand_ins = {
        "SECRET_KEY": "docs-only",
        "SESSION_TOKEN_KEYS": f"docs:{'A' * 43}",
        "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/docs",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "funnel.settings",
    }
    for name, value in stand_ins.items():
        os.environ.setdefault(name, value)
    django.setup()


def documents() -> list[Path]:
    """Return the files that users read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rewritten(text: str, path: Path) -> str:
    """Return a document's text with every block as the code has it now."""

    def replace(found: re.Match[str]) -> str:
        return f"{found['begin']}{block(found['name'], path)}\n{found['end']}"

    return _BLOCK.sub(replace, text)


def block(name: str, path: Path) -> str:
    """Return the text of a block, for a document at ``path``."""
    kind, _, rest = name.partition(" ")
    if kind == "command":
        return command_block(rest)
    makers = {
        "environment": environment_block,
        "settings-sessions-unified": lambda: conf_block("sessions_unified.conf", "Conf"),
        "settings-funnel": lambda: conf_block("funnel.conf", "Conf"),
        "settings-legacy-adapters": legacy_block,
        "flow-moves": moves_block,
        "flow-positions": positions_block,
        "sandbox-cards": cards_block,
        "metrics-counted": counted_block,
        "metrics-measured": measured_block,
    }
    return relative_links(makers[kind](), path)


def relative_links(text: str, path: Path) -> str:
    """Return text whose links are written from the repository's top, as seen from ``path``."""
    up = path.resolve().parent

    def relink(found: re.Match[str]) -> str:
        return f"]({os.path.relpath(ROOT / found[1], up)})"

    return re.sub(r"\]\((docs/[^)]+)\)", relink, text)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


# The environment


def environment() -> dict[str, str | None]:
    """Return variable → default (None: required), as funnel/settings.py reads them."""
    found: dict[str, str | None] = {}
    tree = ast.parse((ROOT / "funnel" / "settings.py").read_text(encoding="utf-8"))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        reads = ast.unparse(call.func)
        if not (reads.startswith("env.") or reads == "_required"):
            continue
        if not (call.args and isinstance(call.args[0], ast.Constant)):
            continue
        name = ast.literal_eval(call.args[0])
        defaults = [each.value for each in call.keywords if each.arg == "default"]
        default = default_text(name, defaults[0]) if defaults else None
        found[name] = found.get(name) or default
    return found


def default_text(name: str, value: ast.expr) -> str:
    """Return a default as a person would set it."""
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    literal = ast.literal_eval(value)
    if isinstance(literal, bool):
        literal = int(literal)
    if isinstance(literal, list):
        literal = ",".join(literal)
    return f"`{literal}`" if literal != "" else "empty"


def environment_block() -> str:
    """Return the table of the site's environment variables."""
    defaults = environment()
    unread, undescribed = set(ENVIRONMENT) - set(defaults), set(defaults) - set(ENVIRONMENT)
    if unread or undescribed:
        raise SystemExit(
            f"docs/generate.py describes {sorted(unread) or 'nothing'} that funnel/settings.py "
            f"does not read, and lacks {sorted(undescribed) or 'nothing'} that it does."
        )
    rows = (
        (f"`{name}`", defaults[name] or "**required**", text) for name, text in ENVIRONMENT.items()
    )
    return table(("Variable", "Default", "What it does"), rows)


# Typed settings


def attributes(described: type) -> dict[str, str]:
    """Return name → text of a docstring's ``Attributes:`` section."""
    doc = inspect.cleandoc(described.__doc__ or "")
    section = doc.partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start is not None:
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
    return found


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: one kind of backticks, a capital, a full stop."""
    plain = text.replace("``", "`").strip()
    first = plain[:1].upper() + plain[1:]
    return first if first.endswith((".", "…")) else f"{first}."


def value_text(value: Any) -> str:
    """Return a default as Python writes it."""
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value:_}`" if type(value) is int and value > 9999 else f"`{value!r}`"  # noqa: PLR2004


def conf_block(module: str, name: str) -> str:
    """Return the table of a settings dataclass."""
    described = getattr(__import__(module, fromlist=[name]), name)
    texts = attributes(described)
    rows = []
    for each in fields(described):
        default = each.default
        if default is MISSING:
            assert each.default_factory is not MISSING  # noqa: S101  (every key is optional)
            default = each.default_factory()
        rows.append((f"`{each.name}`", value_text(default), prose(texts[each.name])))
    return table(("Key", "Default", "What it does"), rows)


def legacy_block() -> str:
    """Return the table of the keys of one entry of LEGACY_ADAPTERS, for the adapters there are."""
    from legacy_adapters.conf import SourceConf  # noqa: PLC0415
    from legacy_adapters.database import DatabaseAdapter  # noqa: PLC0415

    rows = [("`ADAPTER`", "required", prose(attributes(SourceConf)["adapter"]))]
    meanings = {
        "alias": "The `DATABASES` alias over which the table is reached.",
        "table": "The table: `table` or `schema.table`, unquoted, case as it is.",
    }
    for parameter in inspect.signature(DatabaseAdapter).parameters.values():
        if parameter.name != "source":
            key = parameter.name.upper()
            rows.append((f"`{key}`", value_text(parameter.default), meanings[parameter.name]))
    return table(("Key", "Default", "What it does"), rows)


# The flow


def moves_block() -> str:
    """Return the table of the legal moves."""
    from sessions_unified.flow import default_moves  # noqa: PLC0415

    rows = (
        (
            f"`{move.name}`",
            f"`{move.before}`",
            f"`{move.after}`",
            "yes" if move.by_client else "no: it follows from a charge",
        )
        for move in default_moves()
    )
    return table(("Move", "From", "To", "May a client ask for it?"), rows)


def positions_block() -> str:
    """Return the table of the positions, with the time a session may stay there."""
    from sessions_unified.conf import Conf  # noqa: PLC0415
    from sessions_unified.flow import COMPLETED, FlowTable, default_moves  # noqa: PLC0415

    conf = Conf()
    rows = []
    for position in FlowTable(default_moves()).positions:
        idle = conf.IDLE_LIMIT_SECONDS.get(position.step)
        if position.status == COMPLETED:
            limit = f"{duration(conf.RECEIPT_LIMIT_SECONDS)} after completing"
        else:
            limit = f"{duration(conf.ABSOLUTE_LIMIT_SECONDS)} after creation"
            limit += f", or {duration(idle)} without a sign of the shopper" if idle else ""
        rows.append((f"`{position.step}`", f"`{position.status}`", limit))
    return table(("Step", "Status", "Ends"), rows)


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600:g} h"
    return f"{seconds // 60:g} min" if seconds % 60 == 0 else f"{seconds:g} s"


def cards_block() -> str:
    """Return the table of the sandbox gateway's payment tokens."""
    from funnel.payments.sandbox.gateway import CARDS  # noqa: PLC0415

    rows = ((f"`{token}`", prose(card.label.partition(": ")[2])) for token, card in CARDS.items())
    return table(("Payment token", "What happens"), rows)


# Metrics


def counted_block() -> str:
    """Return the table of what the processes count."""
    from prometheus_client.metrics import MetricWrapperBase  # noqa: PLC0415

    from sessions_unified import metrics  # noqa: PLC0415

    rows = []
    for each in vars(metrics).values():
        if isinstance(each, MetricWrapperBase):
            (family,) = each.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(metric_row(name, family.type, each._labelnames, family.documentation))  # noqa: SLF001
    return table(("Metric", "Kind", "Labels", "What it says"), rows)


def measured_block() -> str:
    """Return the table of what is measured when Prometheus asks."""
    from sessions_unified import metrics  # noqa: PLC0415

    rows = (
        metric_row(each.name, "gauge", each.labelnames, each.documentation)
        for each in vars(metrics).values()
        if isinstance(each, metrics.Measured)
    )
    return table(("Metric", "Kind", "Labels", "What it says"), rows)


def metric_row(name: str, kind: str, labels: Iterable[str], text: str) -> tuple[str, ...]:
    """Return a metric's line."""
    return f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), prose(text)


# Commands


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
    own = [action for action in parser._actions if is_own(action)]  # noqa: SLF001
    usage = " ".join(["manage.py", name, *(usage_of(action) for action in own)])
    rows = [(f"`{spelling(action)}`", help_of(action)) for action in own]
    parts = [command.help.strip(), f"```text\n{usage}\n```"]
    if rows:
        parts.append(table(("Argument", "What it does"), rows))
    return "\n\n".join(parts)


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


def blocks(text: str) -> Iterator[str]:
    """Yield the names of a document's blocks."""
    yield from (found["name"] for found in _BLOCK.finditer(text))


if __name__ == "__main__":
    sys.exit(main())

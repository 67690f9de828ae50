"""Rewrite the documentation's generated blocks in place: ``.venv/bin/python docs/generate.py``.

A block stands between ``<!-- generated: NAME -->`` and ``<!-- end generated -->``. What it says
comes from the code (`docs.generators`); `tests/unit/test_docs.py` fails when a block is out of
date.
"""

# ruff: noqa: INP001  (a script, run by its path)

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.generators.commands import command_block, commands
from docs.generators.environment import ENVIRONMENT, environment_block
from docs.generators.flow import cards_block, moves_block, offers_block, positions_block
from docs.generators.markdown import ROOT, relative_links
from docs.generators.merging import rules_block, trust_block
from docs.generators.metrics import counted_block, measured_block
from docs.generators.settings import conf_block, legacy_block

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ENVIRONMENT", "blocks", "commands", "documents", "rewritten"]

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-zA-Z_ .-]+) -->\n)(?P<body>.*?)"
    r"(?P<end><!-- end generated -->)",
    re.DOTALL,
)


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
        "settings-migration": lambda: conf_block("legacy_adapters.migration.conf", "Conf"),
        "flow-moves": moves_block,
        "flow-positions": positions_block,
        "flow-offers": offers_block,
        "sandbox-cards": cards_block,
        "merge-rules": rules_block,
        "merge-trust": trust_block,
        "metrics-counted": counted_block,
        "metrics-measured": measured_block,
    }
    return relative_links(makers[kind](), path)


def blocks(text: str) -> Iterator[str]:
    """Yield the names of a document's blocks."""
    yield from (found["name"] for found in _BLOCK.finditer(text))


if __name__ == "__main__":
    sys.exit(main())

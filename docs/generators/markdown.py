"""Markdown out of docstrings and values."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).resolve().parents[2]


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

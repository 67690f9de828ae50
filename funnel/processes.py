"""What this process is called where its servers list who is connected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAUNCHERS: Final = {"manage.py", "__main__.py"}


def process_name(argv: Sequence[str]) -> str:
    """Return "funnel" and the program, or for ``manage.py`` its command: nothing that is secret."""
    program = Path(argv[0]).name if argv else ""
    if program in _LAUNCHERS and len(argv) > 1 and not argv[1].startswith("-"):
        program = argv[1]
    return f"funnel {program}".strip()

"""The running demo's environment, for commands in a second terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from funnel.local.lock import is_locked
from funnel.local.paths import demo_dir
from funnel.local.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = "env"


@contextmanager
def published(directory: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Keep the variables in a file there, one ``KEY=value`` a line, until the block ends."""
    path = directory / NAME
    write_private(path, "".join(f"{key}={value}\n" for key, value in variables.items()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, str]:
    """Return the variables in the file; values are taken as they are, quotes and all."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def use_running_demo() -> None:
    """Take over the running demo's environment, and say so; only without a ``DATABASE_URL``."""
    path = demo_dir() / NAME
    # A launcher that was killed leaves the file; its servers may be gone.
    if os.environ.get("DATABASE_URL") or not path.exists() or not is_locked(demo_dir()):
        return
    os.environ.update(read(path))
    print(f"Using the running demo's database ({_short(path)}).", file=sys.stderr)


def _short(path: Path) -> Path:
    return path.relative_to(path.cwd()) if path.is_relative_to(path.cwd()) else path

"""One process per data directory: an advisory lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from funnel.local.exceptions import AlreadyRunningError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTEMPTS = 5
"""`is_locked` holds the lock for an instant; a launcher that meets it tries again."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create the directory and hold it until the block ends.

    The lock file lies beside the directory, so that deleting the directory keeps the lock.

    Raises:
        AlreadyRunningError: another process holds it; ``pid`` is that process.

    """
    directory.mkdir(parents=True, exist_ok=True)
    with _lock_file(directory).open("a+") as file:
        if not _acquire(file):
            file.seek(0)
            raise AlreadyRunningError(directory, file.read().strip() or "unknown")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def is_locked(directory: Path) -> bool:
    """Tell whether a process holds the directory now."""
    try:
        file = _lock_file(directory).open("r")
    except FileNotFoundError:
        return False
    with file:
        return not _try(file, fcntl.LOCK_SH)


def _lock_file(directory: Path) -> Path:
    return directory.parent / f"{directory.name}.lock"


def _acquire(file: IO[str]) -> bool:
    for _ in range(ATTEMPTS):
        if _try(file, fcntl.LOCK_EX):
            return True
        time.sleep(0.05)
    return False


def _try(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

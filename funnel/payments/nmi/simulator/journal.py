"""A file of JSON lines that is only appended to; what a crash tore off at its end is dropped."""

from __future__ import annotations

import fcntl
import json
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class JournalError(Exception):
    """The journal cannot be used; the message says why."""


class Journal:
    """What happened, line by line; with no path, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[dict[str, object]]:
        """Yield what is written; then lines can be written.

        Raises:
            JournalError: another process writes it, or a line that is not the last is damaged.

        """
        if self._path is None:
            return
        self._path.touch(mode=0o600)
        self._file = self._path.open("r+b")
        try:
            yield from self._lines(self._file, self._path)
        except JournalError:
            self.close()
            raise

    @staticmethod
    def _lines(file: IO[bytes], path: Path) -> Iterator[dict[str, object]]:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise JournalError(f"{path} is in use by another simulator.") from exc
        whole, end, _torn = file.read().rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            try:
                read = json.loads(line)
            except ValueError:
                read = None
            if not isinstance(read, dict):
                said = f"{path}, line {number}: not a line of books. Move the file away."
                raise JournalError(said)
            yield read
        file.seek(len(whole) + len(end))
        file.truncate()

    def write(self, line: dict[str, object]) -> None:
        """Append a line; a killed process keeps it."""
        if self._file is not None:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

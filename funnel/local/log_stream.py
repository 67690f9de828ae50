"""The demo's log: a line each from the site's processes, with its source in front."""

from __future__ import annotations

import re
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO

from funnel.local.log_lines import tidy

LINES_KEPT = 20
WIDTH = 6
COLOURS = {"web": "36", "worker": "35", "beat": "33", "relay": "32"}

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class LogStream:
    """Reads what the site's processes print, and shows it while it is open.

    Attributes:
        tails: name → the last lines of that process, shown or not.

    """

    def __init__(self, out: IO[str] | None = None) -> None:
        self.out = out or sys.stdout
        self.coloured = self.out.isatty()
        self.tails: dict[str, deque[str]] = {}
        self.is_open = False
        self._lock = threading.Lock()

    def follow(self, name: str, output: IO[bytes]) -> None:
        """Read it to its end, in a thread: a process whose pipe is full would stand still."""
        self.tails[name] = deque(maxlen=LINES_KEPT)
        threading.Thread(target=self._read, args=(name, output), daemon=True).start()

    def tail(self, name: str) -> str:
        """Return the last lines of a process, for a person to read."""
        return "\n".join(f"  {line}" for line in self.tails.get(name, ()))

    def _read(self, name: str, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                line = tidy(raw.decode(errors="replace").rstrip())
                if line is None:
                    continue
                self.tails[name].append(line)
                if self.is_open:
                    self._show(name, line)

    def _show(self, name: str, line: str) -> None:
        label = f"{name:<{WIDTH}} |"
        if self.coloured:
            label = f"\x1b[{COLOURS.get(name, '0')}m{label}\x1b[0m"
        else:
            line = ESCAPES.sub("", line)
        # The terminal may be gone; the processes are read on all the same.
        with self._lock, suppress(OSError, ValueError):
            print(label, line, file=self.out, flush=True)

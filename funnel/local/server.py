"""What PostgreSQL and Valkey have in common as servers of our own."""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

from funnel.local.exceptions import ServerStartError
from funnel.local.ports import free_port
from funnel.local.steps import Say, silent, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from funnel.local.child import Child

START_SECONDS = 60
"""How long a server may take to answer: a recovery after a power cut takes a while."""
PORT_ATTEMPTS = 5
"""Between finding a free port and listening on it, another program may take it."""
PORT_TAKEN = os.strerror(errno.EADDRINUSE)
POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 15


class Server(ABC):
    """One server, its data below one directory, on a free port of the loopback interface.

    Attributes:
        name: names its files.
        title: what people call it.
        directory: where its data, its log and its password are; nobody else uses it
            (`funnel.local.lock.locked`).
        process: the process, once it serves.

    """

    name: str
    title: str
    process: Child

    def __init__(self, directory: Path) -> None:
        # Absolute: the server changes its own working directory.
        self.directory = directory.resolve()

    @abstractmethod
    def prepare(self) -> None:
        """Make what it needs before its first start; called before every start."""

    @abstractmethod
    def child(self, port: int) -> Child:
        """Return its process for that port, not started."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Tell whether it serves there by now."""

    @abstractmethod
    def url(self, port: int) -> str:
        """Return the URL that clients use, with the password in it."""

    @contextmanager
    def running(self, say: Say = silent) -> Iterator[str]:
        """Run it until the block ends, and give its URL.

        What an earlier run left running, because it was killed, is stopped first.

        Raises:
            ServerStartError: it doesn't start; the message shows the end of its log.

        """
        with step(say, f"Starting {self.title}"):
            self.child(port=0).stop_leftover()
            self.prepare()
            self.process, port = self._start()
        try:
            yield self.url(port)
        finally:
            with step(say, f"Stopping {self.title}"):
                self.process.stop()

    def _start(self) -> tuple[Child, int]:
        for _ in range(PORT_ATTEMPTS):
            port = free_port()
            child = self.child(port)
            if self._serves(child, port):
                return child, port
            if PORT_TAKEN not in self._log.read_text(errors="replace"):
                break
        raise ServerStartError(f"{self.title} did not start:\n{self._end_of_log()}")

    def _serves(self, child: Child, port: int) -> bool:
        """Start it and wait for its first answer; what doesn't answer is ended."""
        serves = False
        with self._log.open("wb") as log:
            child.start(output=log)
        deadline = time.monotonic() + START_SECONDS
        try:
            while child.is_running and not serves and time.monotonic() < deadline:
                serves = self.answers(port)
                time.sleep(0 if serves else POLL_SECONDS)
        finally:
            if not serves:
                child.kill()
        return serves

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def _end_of_log(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])

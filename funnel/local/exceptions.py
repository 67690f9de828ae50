"""What can go wrong on a developer's machine; each says what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LocalError(Exception):
    """The local services could not be run."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class ServerMissingError(LocalError):
    """There is no server to start for this system; set its URL instead."""


class ServerStartError(LocalError):
    """A server did not start; the end of its log is shown."""


class PortBusyError(LocalError):
    """Another program listens on the port; choose another."""


class AlreadyRunningError(LocalError):
    """Another process uses this data directory."""

    def __init__(self, directory: Path, pid: str) -> None:
        super().__init__(f"{directory} is in use by process {pid}.")
        self.pid = pid


class ChildEndedError(LocalError):
    """A process of the demo ended by itself."""

    def __init__(self, name: str, exit_code: int | None, tail: str) -> None:
        shown = f" Its last lines:\n{tail}" if tail else ""
        super().__init__(f"{name} ended by itself (exit code {exit_code}).{shown}")


class StopRequestedError(LocalError):
    """The person at the terminal asked to stop."""

"""Child processes that outlive neither us nor, for longer than until the next start, our crash.

Each runs in a session of its own, so that Ctrl-C in the terminal reaches only us, and leaves a
record of its pid and start time. Should we be killed, the next start finds it and stops it.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RECORD_SUFFIX = ".process"
CLOCK_SLACK_SECONDS = 5
"""How far two readings of one process's start time may lie apart (clock adjustments)."""


@dataclass(kw_only=True)
class Child:
    """One program to run, and the process while it runs.

    Attributes:
        name: what people call it; also names the record.
        argv: the program and its arguments. No secrets: everybody can list processes.
        records: the directory of the process records.
        env: its whole environment; None: ours.
        user: the account to run it as; None: ours.
        stop_signal: what asks it to finish.
        stop_seconds: how long it may take to; then it is killed with all its processes.

    """

    name: str
    argv: Sequence[str]
    records: Path
    env: Mapping[str, str] | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, *, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start it, its stdout and stderr going to ``output``."""
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.env,
            start_new_session=True,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )
        created = psutil.Process(self.process.pid).create_time()
        self._record.write_text(json.dumps({"pid": self.process.pid, "created": created}))
        return self.process

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with (a signal's number below zero); None: it hasn't."""
        return None if self.process is None else self.process.poll()

    def stop(self) -> None:
        """Ask it to finish and wait; nothing happens if it has ended."""
        if self.process is None:
            return
        if self.is_running:
            self.process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """End it and every process that it started, now."""
        if self.process is None:
            return
        _kill_group(self.process.pid)
        self.process.wait()
        self._record.unlink(missing_ok=True)

    def stop_leftover(self) -> bool:
        """Stop the process that an earlier, killed run of ours left; tell whether there was one."""
        leftover = _recorded(self._record)
        if leftover is not None:
            with suppress(psutil.NoSuchProcess):
                leftover.send_signal(self.stop_signal)
            _wait_until_gone(leftover, self.stop_seconds)
            _kill_group(leftover.pid)
            _wait_until_gone(leftover, self.stop_seconds)
        self._record.unlink(missing_ok=True)
        return leftover is not None

    @property
    def _record(self) -> Path:
        return self.records / f"{self.name}{RECORD_SUFFIX}"


def kill_recorded(records: Path) -> None:
    """End every process that has a record there, and what these started, now."""
    for record in records.glob(f"*{RECORD_SUFFIX}"):
        process = _recorded(record)
        if process is not None:
            _kill_group(process.pid)
        record.unlink(missing_ok=True)


def _recorded(record: Path) -> psutil.Process | None:
    try:
        known = json.loads(record.read_text())
        process = psutil.Process(known["pid"])
        apart = abs(process.create_time() - known["created"])
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    # A pid alone proves nothing: the system gives it to others later.
    return process if apart < CLOCK_SLACK_SECONDS and not _is_gone(process) else None


def _kill_group(pid: int) -> None:
    # A child leads its own session, hence its own group of the same number.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _wait_until_gone(process: psutil.Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _is_gone(process) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_gone(process: psutil.Process) -> bool:
    # In a container whose first process reaps nobody, an orphan stays a zombie for ever.
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

"""Commands as processes of their own that start at once: a site that is set up forks for each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]


class Started:
    """A command under way; it is nobody's child here, so its end is read from a file."""

    def __init__(self, pid: int, directory: Path) -> None:
        self.process = psutil.Process(pid)
        self._directory = directory

    @property
    def told(self) -> str:
        return (self._directory / "told").read_text()

    @property
    def code(self) -> int | None:
        """Return the exit code; None: it was killed."""
        path = self._directory / "code"
        return int(path.read_text()) if path.exists() else None

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> None:
        """Wait for its end; a zombie has ended."""
        deadline = time.monotonic() + 120
        with suppress(psutil.NoSuchProcess):
            while self.process.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < deadline, "it did not end"
                time.sleep(0.005)

    def workers(self) -> list[psutil.Process]:
        children = self.process.children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


class Forks:
    """Starts commands."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory
        self._number = 0

    def start(self, *arguments: str) -> Started:
        self._number += 1
        directory = self._directory / str(self._number)
        directory.mkdir()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join([str(directory), *arguments]) + "\n")
        self._process.stdin.flush()
        return Started(int(self._process.stdout.readline()), directory)


@contextmanager
def forking(env: dict[str, str], directory: Path) -> Iterator[Forks]:
    """Yield what starts commands of the site; the site itself is set up once."""
    argv = [sys.executable, "-m", "tests.backfill_processes"]
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**env, "DJANGO_SETTINGS_MODULE": "funnel.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Forks(process, directory)
        finally:
            process.kill()


def serve() -> None:
    """Fork for each line of the input: a directory and the command's arguments."""
    import django

    django.setup()
    # What the command imports is imported once; no connection is open yet.
    import legacy_adapters.management.commands.backfill_sessions  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        directory, *arguments = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(Path(directory), arguments)
        print(pid, flush=True)


def run(directory: Path, arguments: list[str]) -> None:
    """Be the command, without the checks, which take longer than the work."""
    from django.core.management import CommandError, call_command

    told = os.open(directory / "told", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(told, 1)
    os.dup2(told, 2)
    code = 0
    try:
        call_command(*arguments)
    except CommandError as exc:
        print(exc)
        code = 1
    finally:
        sys.stdout.flush()
        (directory / "code").write_text(str(code))
        os._exit(code)


if __name__ == "__main__":
    serve()

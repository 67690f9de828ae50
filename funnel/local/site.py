"""The site's own processes on this machine: web, worker, beat and relay, watched together.

So is the simulator of NMI, where the shop runs on it.
"""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.exceptions import ChildEndedError, LocalError
from funnel.local.log_stream import LogStream
from funnel.local.ports import LOOPBACK
from funnel.local.steps import aloud, step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from funnel.local.payments import LocalNmi
    from funnel.local.stop_signals import StopSignals

SIMULATOR = "nmi"
READY_SECONDS = 60
POLL_SECONDS = 0.1
HTTP_OK = 200
HTTP_SERVER_ERROR = 500


class Site:
    """The processes, and what they print.

    Attributes:
        base_url: where the shop is, without a final slash.
        logs: what the processes print; shown while it is open.

    """

    def __init__(self, directory: Path, port: int, *, nmi: LocalNmi | None = None) -> None:
        self.base_url = f"http://{LOOPBACK}:{port}"
        self.logs = LogStream()
        commands = {
            "web": programs.web(port=port),
            "worker": programs.worker(),
            "beat": programs.beat(directory=directory),
            "relay": programs.relay(),
        }
        if nmi is not None:
            commands = {SIMULATOR: programs.nmi_simulator(nmi)} | commands
        self.children = [
            Child(name=name, argv=argv, records=directory) for name, argv in commands.items()
        ]

        # An earlier run may have had one where this has none.
        self._earlier = [Child(name=SIMULATOR, argv=(), records=directory)]

    def stop_leftovers(self) -> None:
        """Stop what an earlier run left, because it was killed."""
        for child in (*self.children, *self._earlier):
            if child.stop_leftover():
                aloud(f"Stopped {child.name}, which an earlier run had left running.\n")

    @contextmanager
    def running(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Run the processes, with these variables added to their environment."""
        with ExitStack() as stack:
            for child in self.children:
                child.env = os.environ | variables
                stack.callback(self._stop, child)
                process = child.start(output=subprocess.PIPE)
                assert process.stdout is not None  # noqa: S101  (PIPE makes it)
                self.logs.follow(child.name, process.stdout)
            try:
                yield
            finally:
                self.logs.is_open = False

    def wait_until_ready(self, signals: StopSignals) -> None:
        """Return when the shop's first page answers.

        Raises:
            LocalError: it doesn't, or a process has ended.
            StopRequestedError: a signal has come.

        """
        deadline = time.monotonic() + READY_SECONDS
        status = None
        while time.monotonic() < deadline:
            self.check(self.children, signals)
            status = _status(f"{self.base_url}/")
            if status is not None and status < HTTP_SERVER_ERROR:
                return
            time.sleep(POLL_SECONDS)
        said = "doesn't answer" if status is None else f"answers with status {status}"
        raise LocalError(f"The shop {said}. Its last lines:\n{self.logs.tail('web')}")

    def watch(self, others: Iterable[Child], signals: StopSignals) -> None:
        """Show the log until a signal comes or a process ends.

        Raises:
            ChildEndedError: one of ours or of ``others`` has ended.
            StopRequestedError: a signal has come.

        """
        children = [*self.children, *others]
        self.logs.is_open = True
        while True:
            self.check(children, signals)
            time.sleep(POLL_SECONDS)

    def check(self, children: Iterable[Child], signals: StopSignals) -> None:
        """Look at signals and processes once; raises as `watch` does."""
        signals.raise_if_requested()
        for child in children:
            if not child.is_running:
                raise ChildEndedError(child.name, child.exit_code, self.logs.tail(child.name))

    def _stop(self, child: Child) -> None:
        with step(aloud, f"Stopping {child.name}"):
            child.stop()


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310  (an http URL, made above)
            return HTTP_OK
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except OSError:
        return None

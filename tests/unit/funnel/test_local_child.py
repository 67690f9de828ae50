from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from funnel.local.child import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

READY = "print('ready', flush=True)"
SLEEP = f"import time; {READY}; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = (
    "import subprocess, sys; "
    f"inner = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
    "print(inner.pid, flush=True); inner.wait()"
)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def make_child(code: str = SLEEP, **options: object) -> Child:
        argv = [sys.executable, "-c", code]
        child = Child(name="sleeper", argv=argv, records=tmp_path, **options)  # type: ignore[arg-type]
        made.append(child)
        return child

    yield make_child
    for child in made:
        child.kill()
        if child.process is not None and child.process.stdout is not None:
            child.process.stdout.close()


def started(child: Child) -> str:
    """Start it and return the first line that it says."""
    process = child.start(output=subprocess.PIPE)
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_stop_asks_and_waits(make: Callable[..., Child]) -> None:
    child = make()
    started(child)

    child.stop()

    assert child.process is not None
    assert child.process.returncode == -signal.SIGTERM
    assert not child.is_running


def test_stop_uses_the_signal_that_the_program_wants(make: Callable[..., Child]) -> None:
    child = make(stop_signal=signal.SIGINT)
    started(child)

    child.stop()

    assert child.process is not None
    assert child.process.returncode in {-signal.SIGINT, 1}


def test_a_child_that_ignores_the_signal_is_killed(make: Callable[..., Child]) -> None:
    child = make(STUBBORN, stop_seconds=0.2)
    started(child)

    child.stop()

    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


def test_processes_that_the_child_left_are_ended(make: Callable[..., Child]) -> None:
    child = make(PARENT)
    grandchild = int(started(child))

    child.stop()

    assert gone_soon(grandchild)


def test_ctrl_c_in_the_terminal_does_not_reach_it(make: Callable[..., Child]) -> None:
    child = make()
    started(child)
    assert child.process is not None

    assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)


def test_stop_without_start_does_nothing(make: Callable[..., Child]) -> None:
    make().stop()


def test_what_a_killed_run_left_is_stopped(make: Callable[..., Child]) -> None:
    earlier = make()
    started(earlier)
    assert earlier.process is not None

    found = make().stop_leftover()

    assert found
    assert gone_soon(earlier.process.pid)


def test_a_leftover_that_ignores_the_signal_is_killed(make: Callable[..., Child]) -> None:
    earlier = make(STUBBORN)
    started(earlier)
    assert earlier.process is not None

    assert make(stop_seconds=0.2).stop_leftover()

    assert gone_soon(earlier.process.pid)


def test_somebody_elses_process_of_that_number_is_left_alone(
    make: Callable[..., Child], tmp_path: Path
) -> None:
    other = make()
    started(other)
    assert other.process is not None
    record = {"pid": other.process.pid, "created": time.time() - 3600}
    (tmp_path / "sleeper.process").write_text(json.dumps(record))

    assert not make().stop_leftover()

    assert other.is_running


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"pid": 2147483000, "created": 1}'])
def test_an_unusable_record_is_dropped(
    make: Callable[..., Child], tmp_path: Path, text: str
) -> None:
    (tmp_path / "sleeper.process").write_text(text)

    assert not make().stop_leftover()

    assert not (tmp_path / "sleeper.process").exists()


def test_an_ended_child_leaves_no_record(make: Callable[..., Child], tmp_path: Path) -> None:
    child = make()
    started(child)

    child.stop()

    assert not list(tmp_path.glob("*.process"))

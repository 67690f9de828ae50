from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from funnel.local.exceptions import AlreadyRunningError
from funnel.local.lock import is_locked, locked

if TYPE_CHECKING:
    from pathlib import Path


def in_another_process(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys, pathlib\n"
        "from funnel.local.lock import is_locked, locked\n"
        "directory = pathlib.Path(sys.argv[1])\n"
        f"{code}"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        check=False,
        capture_output=True,
        text=True,
    )


def test_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        second = in_another_process("with locked(directory): pass", tmp_path / "data")

    assert second.returncode != 0
    assert f"{tmp_path / 'data'} is in use by process {os.getpid()}." in second.stderr


def test_second_holder_in_one_process_is_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "data"),
        pytest.raises(AlreadyRunningError) as refused,
        locked(tmp_path / "data"),
    ):
        pass

    assert refused.value.pid == str(os.getpid())


def test_lock_is_free_after_the_block(tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        pass

    with locked(tmp_path / "data"):
        assert is_locked(tmp_path / "data")


def test_lock_dies_with_its_process(tmp_path: Path) -> None:
    killed = in_another_process(
        "import os, signal\n"
        "with locked(directory):\n"
        "    assert is_locked(directory)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)",
        tmp_path / "data",
    )

    assert killed.returncode == -9
    assert not is_locked(tmp_path / "data")


def test_directory_never_used_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "never")


def test_lock_survives_the_directory(tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        (tmp_path / "data").rmdir()

        assert is_locked(tmp_path / "data")

"""The Makefile's first steps on machines that lack something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("sh", "make", "awk", "grep", "touch")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a fresh checkout, as far as make is concerned."""
    (tmp_path / "checkout").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path / "checkout")
    shutil.copytree(ROOT / "requirements", tmp_path / "checkout/requirements")
    return tmp_path / "checkout"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a PATH with what make needs, and no Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (directory / tool).symlink_to(found)
    return directory


def add_python(path: Path, name: str, version: str, *, is_new: bool, has_ensurepip: bool) -> None:
    """Add an interpreter that answers what the Makefile asks, and nothing else."""
    (path / name).write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *print*) echo {version} ;;\n"
        f"  *sys.exit*) exit {int(not is_new)} ;;\n"
        f"  *ensurepip*) exit {int(not has_ensurepip)} ;;\n"
        '  *) echo "called: $*" ;;\n'
        "esac\n"
    )
    (path / name).chmod(0o755)


def make(checkout: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=checkout,
        env={"PATH": str(path)},
    )


def test_help_lists_the_targets(checkout: Path, path: Path) -> None:
    said = make(checkout, path).stdout

    for target in ("demo", "demo-reset", "test", "lint", "lock", "bench", "soak", "docs"):
        assert f"make {target} " in said


def test_no_python_at_all(checkout: Path, path: Path) -> None:
    done = make(checkout, path, "demo")

    assert done.returncode != 0
    assert "This project needs Python 3.11 or newer.\n" in done.stderr


def test_an_old_python_is_named(checkout: Path, path: Path) -> None:
    add_python(path, "python3", "3.9", is_new=False, has_ensurepip=True)

    done = make(checkout, path, "test")

    assert done.returncode != 0
    assert "needs Python 3.11 or newer. python3 is 3.9." in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_without_ensurepip_names_the_package(checkout: Path, path: Path) -> None:
    add_python(path, "python3", "3.11", is_new=True, has_ensurepip=False)

    done = make(checkout, path, "demo")

    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr


def test_a_newer_python_beside_an_old_one_is_taken(checkout: Path, path: Path) -> None:
    add_python(path, "python3", "3.9", is_new=False, has_ensurepip=True)
    add_python(path, "python3.12", "3.12", is_new=True, has_ensurepip=True)

    done = make(checkout, path, ".venv/bin/pip")

    assert "Creating .venv with Python 3.12 …" in done.stdout
    assert "called: -m venv --clear .venv" in done.stdout


def test_what_is_not_there_yet_is_said(checkout: Path, path: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    for name in ("bin/pip", ".dev", ".docs"):
        (checkout / ".venv" / name).touch()

    assert "There are no benchmarks yet" in make(checkout, path, "bench").stdout
    assert "There are no soak tests yet" in make(checkout, path, "soak").stdout
    assert "There is no documentation yet" in make(checkout, path, "docs").stdout

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from funnel.local.env_file import published, read, use_running_demo
from funnel.local.lock import locked

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = {"DATABASE_URL": "postgresql://u:p@h:1/demo?a=b", "SECRET_KEY": "k'\"$= #"}


@pytest.fixture
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNNEL_LOCAL_DIR", str(tmp_path))
    # Set before it is deleted, so that the value is put back after the test.
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_values_are_read_back_as_they_were(tmp_path: Path) -> None:
    with published(tmp_path, VARIABLES):
        assert read(tmp_path / "env") == VARIABLES


def test_the_file_is_private_and_gone_after(tmp_path: Path) -> None:
    with published(tmp_path, VARIABLES):
        assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600

    assert not (tmp_path / "env").exists()


@pytest.mark.usefixtures("bare_environment")
def test_commands_use_the_running_demo_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "demo"), published(tmp_path / "demo", VARIABLES):
        use_running_demo()

    assert os.environ["DATABASE_URL"] == VARIABLES["DATABASE_URL"]
    assert os.environ["SECRET_KEY"] == VARIABLES["SECRET_KEY"]
    said = capsys.readouterr()
    assert said.err == f"Using the running demo's database ({tmp_path / 'demo/env'}).\n"
    assert said.out == ""


@pytest.mark.usefixtures("bare_environment")
def test_a_database_url_of_ones_own_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://mine")

    with locked(tmp_path / "demo"), published(tmp_path / "demo", VARIABLES):
        use_running_demo()

    assert os.environ["DATABASE_URL"] == "postgresql://mine"
    assert "SECRET_KEY" not in os.environ
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("bare_environment")
def test_what_a_killed_demo_left_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()

    with published(tmp_path / "demo", VARIABLES):
        use_running_demo()

    assert "DATABASE_URL" not in os.environ


@pytest.mark.usefixtures("bare_environment")
def test_without_a_demo_nothing_happens() -> None:
    use_running_demo()

    assert "DATABASE_URL" not in os.environ


def test_manage_py_works_on_the_running_demo(tmp_path: Path, site_env: dict[str, str]) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SESSION_TOKEN_KEYS")
    demo = {name: site_env[name] for name in names}
    bare = {name: value for name, value in site_env.items() if name not in names}

    with locked(tmp_path / "demo"), published(tmp_path / "demo", demo):
        done = subprocess.run(
            [sys.executable, "manage.py", "check", "--database", "default"],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**bare, "FUNNEL_LOCAL_DIR": str(tmp_path)},
        )

    assert done.returncode == 0, done.stderr
    assert "Using the running demo's database" in done.stderr

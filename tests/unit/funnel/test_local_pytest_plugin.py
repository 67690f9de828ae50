"""Test runs of their own, in a directory with one test, to see what the plugin gives a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from funnel.local.lock import is_locked, locked
from funnel.local.ports import free_port

if TYPE_CHECKING:
    import redis

ROOT = Path(__file__).resolve().parents[3]

REPORT_ENVIRONMENT = """
import json, os, pathlib
def test_environment():
    pathlib.Path("environment.json").write_text(json.dumps(dict(os.environ)))
"""
WAIT = """
import pathlib, time
def test_wait():
    pathlib.Path("waiting").touch()
    time.sleep(600)
"""


class Run:
    """One run of pytest in a directory of its own, with the plugin and without Django."""

    def __init__(self, directory: Path, test: str, **env: str) -> None:
        self.directory = directory
        self.local_dir = directory / "local"
        (directory / "test_it.py").write_text(test)
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "FUNNEL_LOCAL_DIR": str(self.local_dir),
            **env,
        }

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "--rootdir", str(self.directory)),
                *("-p", "funnel.local.pytest_plugin", "-p", "no:django", "-p", "no:valkey"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env=self.env,
        )

    def finish(self) -> tuple[int, str]:
        with self.start() as process:
            said = process.communicate()[0]
        return process.returncode, said

    @property
    def environment(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "environment.json").read_text())
        return found


def test_a_run_has_servers_and_keys_of_its_own(server_dir: Path) -> None:
    run = Run(server_dir, REPORT_ENVIRONMENT)

    code, said = run.finish()

    assert code == 0, said
    assert run.environment["DATABASE_URL"].startswith("postgresql://")
    assert run.environment["REDIS_URL"].startswith("redis://")
    assert len(run.environment["SECRET_KEY"]) >= 50
    assert run.environment["SESSION_TOKEN_KEYS"].startswith("test:")
    assert run.environment["DEBUG"] == "0"
    assert not list(run.local_dir.rglob("*.process"))


def test_urls_of_the_environment_are_used(server_dir: Path, redis_flush: None) -> None:
    urls = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    run = Run(server_dir, REPORT_ENVIRONMENT, **urls)

    code, said = run.finish()

    assert code == 0, said
    assert urls.items() <= run.environment.items()
    assert not (run.local_dir / "test/postgres").exists()


def test_a_redis_database_with_keys_is_refused_and_left_alone(
    server_dir: Path, redis_client: redis.Redis, redis_flush: None
) -> None:
    redis_client.set("somebody's", "data")
    run = Run(server_dir, REPORT_ENVIRONMENT, REDIS_URL=os.environ["REDIS_URL"])

    code, said = run.finish()

    assert code == pytest.ExitCode.USAGE_ERROR
    assert "REDIS_URL names a database with keys in it" in said
    assert redis_client.get("somebody's") == b"data"


def test_a_redis_that_does_not_answer_is_said(server_dir: Path) -> None:
    run = Run(server_dir, REPORT_ENVIRONMENT, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    code, said = run.finish()

    assert code == pytest.ExitCode.USAGE_ERROR
    assert "REDIS_URL can't be used:" in said
    assert "Traceback" not in said


def test_two_runs_at_a_time_do_not_meet(server_dir: Path) -> None:
    run = Run(server_dir, REPORT_ENVIRONMENT)

    with locked(run.local_dir / "test"):
        code, said = run.finish()

    assert code == 0, said
    assert (run.local_dir / "test-2/postgres").exists()
    assert not (run.local_dir / "test/postgres").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_servers(server_dir: Path, number: signal.Signals) -> None:
    run = Run(server_dir, WAIT)
    with run.start() as process:
        deadline = time.monotonic() + 30
        while not (server_dir / "waiting").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        servers = psutil.Process(process.pid).children()

        process.send_signal(number)
        process.communicate(timeout=30)

    assert len(servers) == 2
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert not any(server.is_running() for server in servers)
    assert not is_locked(run.local_dir / "test")

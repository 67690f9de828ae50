"""`make demo` as a newcomer meets it: the real launcher, started, used, stopped and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest

from funnel.local.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
LINKS = {
    "before paying": "/checkout",
    "at the first offer": "/upsell-1",
    "at the second offer": "/upsell-2",
}
READY = "Ctrl-C"
READY_SECONDS = 90
STOP_SECONDS = 60


class Demo:
    """One run of the launcher in a subprocess, and what it prints."""

    def __init__(self, local_dir: Path, port: int, *, payments: str = "") -> None:
        # What a newcomer's shell has, and nothing of this test run.
        env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.env = {**env, "FUNNEL_LOCAL_DIR": str(local_dir)}
        self.directory = local_dir / "demo"
        self.port = port
        self.base_url = f"http://{LOOPBACK}:{port}"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "funnel.local.demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**self.env, "PORT": str(port), "PAYMENTS": payments},
        )
        self.family: set[int] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self) -> None:
        self.wait_for(READY, READY_SECONDS)
        self.note_family()

    def wait_for(self, text: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            alive = self.process.poll() is None
            assert alive, f"it ended:\n{self.output}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output}"
            time.sleep(0.05)

    def note_family(self) -> None:
        """Remember every process that it has started."""
        launcher = psutil.Process(self.process.pid)
        self.family = {child.pid for child in launcher.children(recursive=True)}

    def survivors(self) -> set[int]:
        """Return which of them still run."""
        return {pid for pid in self.family if is_alive(pid)}

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it the signal and return its exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the site as in a second terminal."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=self.env,
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(line.rstrip("\n") for line in iter(output.readline, ""))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def local_dir() -> Iterator[Path]:
    # Not pytest's own: see `server_dir`.
    with tempfile.TemporaryDirectory(prefix="funnel demo ") as directory:
        yield Path(directory)


@pytest.fixture
def start(local_dir: Path) -> Iterator[Callable[..., Demo]]:
    runs: list[Demo] = []

    def start_demo(port: int | None = None, *, payments: str = "") -> Demo:
        runs.append(Demo(local_dir, port or free_port(), payments=payments))
        return runs[-1]

    yield start_demo
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.wait(STOP_SECONDS)
        print(f"--- demo\n{run.output}")


def create_session(demo: Demo) -> tuple[str, dict[str, str]]:
    """Create a session as an API client; return its id and its cookies."""
    created = httpx2.post(
        f"{demo.base_url}/api/session/create",
        json={"email": "ada@example.com", "products": [{"id": "LAMP", "quantity": 1}]},
    )
    assert created.status_code == 201, created.text
    return created.json()["id"], dict(created.cookies)


def moved_on(demo: Demo, endpoint: str) -> subprocess.CompletedProcess[str]:
    """Move an endpoint one stage on, as a newcomer does."""
    return demo.manage("migration", "advance", "--endpoint", endpoint, "--reason", "to try it")


def admin_password(demo: Demo) -> str:
    found = re.search(r"user: admin +password: (\S+)", demo.output)
    assert found is not None, demo.output
    return found[1]


def admin_lets_in(demo: Demo, password: str) -> bool:
    with httpx2.Client(base_url=demo.base_url, follow_redirects=True) as client:
        form = client.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        answer = client.post(
            "/admin/login/?next=/admin/",
            data={"username": "admin", "password": password, "csrfmiddlewaretoken": token[1]},
            headers={"Origin": demo.base_url, "Referer": f"{demo.base_url}/admin/login/"},
        )
        return answer.status_code == 200 and "Log out" in answer.text


def test_a_newcomer_starts_the_demo_looks_around_and_comes_back(
    start: Callable[..., Demo], local_dir: Path
) -> None:
    first = start()
    first.wait_until_ready()

    for path in ("/", "/admin/login/", "/api/docs", "/api/schema"):
        assert httpx2.get(first.base_url + path).status_code == 200, path
    password = admin_password(first)
    assert admin_lets_in(first, password)
    for title, path in LINKS.items():
        link = re.search(rf"{title} +({first.base_url}/s/\S+)", first.output)
        assert link is not None, title
        answer = httpx2.get(link[1], follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, path)
    moved = json.loads(first.manage("migration", "status", "--json").stdout)
    assert {each["stage"] for each in moved} == {"off"}
    assert moved_on(first, "session.create").returncode == 0
    shopping = first.manage("simulate_shoppers", "--shoppers", "4", "--patience", "1")
    assert "Nothing was lost" in shopping.stdout, shopping.stdout + shopping.stderr
    session_id, cookies = create_session(first)
    inspected = first.manage("inspect_session", session_id)
    assert inspected.returncode == 0, inspected.stderr
    assert session_id in inspected.stdout
    assert "Using the running demo's database" in inspected.stderr
    first.wait_for("web    | ")

    assert first.stop(signal.SIGINT) == 0

    assert first.survivors() == set()
    assert [line.split(" … ")[0] for line in first.lines if line.startswith("Stopping")] == [
        "Stopping relay",
        "Stopping beat",
        "Stopping worker",
        "Stopping web",
        "Stopping Valkey",
        "Stopping PostgreSQL",
    ]
    assert not (local_dir / "demo/env").exists()
    assert not list((local_dir / "demo").glob("*.process"))

    second = start(first.port)
    second.wait_until_ready()

    # The data, the stages and the keys are kept; the password of the last start is not.
    moved = json.loads(second.manage("migration", "status", "--json").stdout)
    assert [each["stage"] for each in moved if each["endpoint"] == "session.create"] == [
        "dual_write"
    ]
    kept = httpx2.get(f"{second.base_url}/api/session/{session_id}", cookies=cookies)
    assert kept.status_code == 200
    assert kept.json()["email"] == "ada@example.com"
    assert not admin_lets_in(second, password)
    assert admin_lets_in(second, admin_password(second))

    assert second.stop(signal.SIGTERM) == 0
    assert second.survivors() == set()


def test_a_killed_launcher_is_cleaned_up_after_and_a_dead_process_is_named(
    start: Callable[..., Demo],
) -> None:
    killed = start()
    killed.wait_until_ready()
    session_id, cookies = create_session(killed)
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert killed.survivors()

    again = start(killed.port)
    again.wait_until_ready()

    assert killed.survivors() == set()
    assert "Stopped web, which an earlier run had left running." in again.output
    kept = httpx2.get(f"{again.base_url}/api/session/{session_id}", cookies=cookies)
    assert kept.status_code == 200

    worker = next(
        child
        for child in psutil.Process(again.process.pid).children()
        if "worker" in child.cmdline()
    )
    worker.kill()

    assert again.ended() == 1
    assert "worker ended by itself (exit code -9)." in again.output
    assert again.survivors() == set()


def test_a_second_demo_on_the_same_data_is_refused_by_name(start: Callable[..., Demo]) -> None:
    running = start()
    running.wait_for("Starting PostgreSQL")

    second = start()

    assert second.ended() == 1
    assert second.lines == [f"The demo is already running (process {running.process.pid})."]
    assert running.stop() == 0


def test_a_busy_port_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other_program:
        port = other_program.getsockname()[1]
        demo = Demo(tmp_path, port)
        code = demo.ended()

    assert code == 1
    assert demo.lines == [f"Port {port} is busy. Choose another: PORT={port + 1} make demo"]
    assert not list((tmp_path / "demo").iterdir())


def test_a_shop_on_the_nmi_simulator_is_told_of_its_charges(start: Callable[..., Demo]) -> None:
    demo = start(payments="nmi")
    demo.wait_until_ready()
    found = re.search(r"NMI +(http://127\.0\.0\.1:\d+)/_control/", demo.output)
    assert found is not None, demo.output
    nmi = found[1]
    session_id, cookies = create_session(demo)

    # Charged, but the answer is lost: only the event, or the sweeper, can tell the shop.
    card = httpx2.post(f"{nmi}/_control/token", json={"card": "4000000000000044"}).json()
    answer = httpx2.post(
        f"{demo.base_url}/api/checkout/process",
        json={"paymentToken": card["token"]},
        headers={"Idempotency-Key": "pay-1"},
        cookies=cookies,
    )
    [charge] = httpx2.get(f"{nmi}/_control/books").json()["transactions"]
    demo.wait_for("nmi    | sale ")

    assert answer.status_code == 202, answer.text
    assert charge["condition"] == "pendingsettlement"
    until = time.monotonic() + READY_SECONDS
    status = "processing"
    while status == "processing" and time.monotonic() < until:
        path = f"{demo.base_url}/api/session/{session_id}"
        status = httpx2.get(path, cookies=cookies).json()["currentStep"]
        time.sleep(0.2)
    assert status == "upsell-1"
    assert demo.stop(signal.SIGINT) == 0
    assert demo.survivors() == set()


def test_an_unknown_way_to_pay_is_said(tmp_path: Path) -> None:
    demo = Demo(tmp_path, free_port(), payments="stripe")

    assert demo.ended() == 1
    assert demo.lines == ["PAYMENTS=stripe: there are sandbox and nmi."]


def test_a_port_that_is_none_is_said(tmp_path: Path) -> None:
    demo = Demo(tmp_path, 99_999)

    assert demo.ended() == 1
    assert demo.lines == ["PORT=99999 is not a port's number (1 to 65535)."]

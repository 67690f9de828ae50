"""The parts of the demo's launcher that need no running shop."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from funnel.local import demo, reset
from funnel.local.banner import Prepared, banner
from funnel.local.child import Child
from funnel.local.exceptions import ChildEndedError, LocalError, StopRequestedError
from funnel.local.lock import locked
from funnel.local.old_shop import old_shop_variables
from funnel.local.ports import free_port
from funnel.local.services import Services
from funnel.local.site import Site
from funnel.local.steps import step
from funnel.local.stop_signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREPARED = Prepared(
    admin="admin", password="s3cret", links=(("before paying", "http://shop/resume/abc"),)
)


@pytest.fixture
def demo_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUNNEL_LOCAL_DIR", str(tmp_path))
    return tmp_path / "demo"


def test_the_port_is_8000_unless_chosen() -> None:
    assert demo.port_from({}) == 8000
    assert demo.port_from({"PORT": ""}) == 8000
    assert demo.port_from({"PORT": "8123"}) == 8123


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.0", "٨٠٠٠", " "])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match="is not a port's number"):
        demo.port_from({"PORT": text})


def test_the_banner_shows_where_everything_is() -> None:
    text = banner("http://127.0.0.1:8123", PREPARED)

    for wanted in (
        "http://127.0.0.1:8123/\n",
        "http://127.0.0.1:8123/admin/",
        "user: admin   password: s3cret",
        "http://127.0.0.1:8123/api/docs",
        "before paying  http://shop/resume/abc",
        "Ctrl-C",
        "make demo-reset",
    ):
        assert wanted in text


def test_the_banner_without_shoppers_says_nothing_of_links() -> None:
    prepared = Prepared(admin="admin", password="s3cret", links=())

    assert "link" not in banner("http://127.0.0.1:8123", prepared)


def test_the_banner_says_where_the_old_shop_is_moved() -> None:
    moving = replace(PREPARED, has_old_shop=True)

    text = banner("http://127.0.0.1:8123", moving)

    assert "http://127.0.0.1:8123/admin/legacy_adapters/migration/" in text
    assert "manage.py migration status" in text
    assert "manage.py simulate_shoppers" in text
    assert "migration" not in banner("http://127.0.0.1:8123", PREPARED)


def test_the_old_shop_follows_the_stages_in_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(database_url="postgresql://d", redis_url="redis://r")
    monkeypatch.setenv("MIGRATION_MIN_COMPARISONS", "1000")

    first = old_shop_variables(tmp_path, services)

    assert first == old_shop_variables(tmp_path, services)
    assert first["SESSION_MANAGER"] == "legacy_adapters.migration.MigratingSessionManager"
    assert len(first["LEGACY_COOKIE_SECRETS"]) >= 32
    # What the shell says stands, and a server that is not ours gets no second database.
    assert first["MIGRATION_MIN_COMPARISONS"] == "1000"
    assert "LEGACY_DATABASE_URL" not in first


def test_without_the_adapters_there_is_no_old_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(database_url="postgresql://d", redis_url="redis://r")
    monkeypatch.setattr("funnel.local.old_shop.find_spec", lambda _: None)

    assert old_shop_variables(tmp_path, services) == {}


def test_the_report_is_private_and_read_once(tmp_path: Path) -> None:
    PREPARED.write(tmp_path / "report")

    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o600
    assert Prepared.take(tmp_path / "report") == PREPARED
    assert not (tmp_path / "report").exists()


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    services = Services(database_url="postgresql://d", redis_url="redis://r")

    first = demo.site_variables(tmp_path, services, "http://127.0.0.1:8123")
    second = demo.site_variables(tmp_path, services, "http://127.0.0.1:8123")

    assert first == second
    assert len(first["SECRET_KEY"]) >= 50
    assert first["SESSION_TOKEN_KEYS"].startswith("demo:")
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_demo_from_before_keeps_the_keys_it_has(tmp_path: Path) -> None:
    services = Services(database_url="postgresql://d", redis_url="redis://r")
    old = {"SECRET_KEY": "kept", "SESSION_TOKEN_KEYS": "demo:kept"}
    (tmp_path / "old").mkdir()
    (tmp_path / "old/secrets.json").write_text(json.dumps(old))

    new = demo.site_variables(tmp_path, services, "http://127.0.0.1:8123")
    kept = demo.site_variables(tmp_path / "old", services, "http://127.0.0.1:8123")

    # What it has encrypted so far is under SECRET_KEY; another key would not open it.
    assert "ENCRYPTION_KEYS" not in kept
    assert kept.items() >= old.items()
    assert new["ENCRYPTION_KEYS"].startswith("demo:")


def test_a_step_says_how_it_went() -> None:
    said: list[str] = []

    with step(said.append, "Boiling water"):
        pass
    with pytest.raises(LocalError), step(said.append, "Boiling milk"):
        raise LocalError

    assert said[0] == "Boiling water … "
    assert re.fullmatch(r"ok \(\d+\.\d s\)\n", said[1])
    assert said[2:] == ["Boiling milk … ", "failed\n"]


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_closed_terminal_does_not_keep_things_from_being_stopped(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    with StopSignals(tmp_path) as signals:
        os.kill(os.getpid(), signal.SIGHUP)

        with pytest.raises(StopRequestedError), site.running({}):
            site.watch([], signals)

    assert not any(child.is_running for child in site.children)


def test_reset_deletes_the_data(demo_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (demo_dir / "postgres").mkdir(parents=True)

    assert reset.main() == 0

    assert not demo_dir.exists()
    assert "deleted" in capsys.readouterr().out


def test_reset_without_data_says_so(demo_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reset.main() == 0

    assert capsys.readouterr().out == "There is no demo data.\n"


def test_reset_refuses_while_the_demo_runs(
    demo_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(demo_dir):
        assert reset.main() == 1

    assert demo_dir.exists()
    assert f"The demo is running (process {os.getpid()})" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with StopSignals(tmp_path) as signals:
        signals.raise_if_requested()
        os.kill(os.getpid(), number)

        with pytest.raises(StopRequestedError):
            signals.raise_if_requested()

    assert signal.getsignal(number) is before


def test_the_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, subprocess, sys\n"
        "from funnel.local.child import Child\n"
        "from funnel.local.stop_signals import StopSignals\n"
        "records = pathlib.Path(sys.argv[1])\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = Child(name='stubborn', argv=sleep, records=records)\n"
        "with StopSignals(records):\n"
        "    print(child.start(output=subprocess.DEVNULL).pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "print('not reached')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 128 + signal.SIGINT
    assert "not reached" not in done.stdout
    assert not list(tmp_path.glob("*.process"))
    assert is_gone(int(done.stdout))


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site of programs that only sleep, except where a test says otherwise."""
    site = Site(tmp_path, free_port())
    for child in site.children:
        child.argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    yield site
    for child in site.children:
        child.kill()


def test_a_process_that_ends_is_named_with_its_last_lines(site: Site, tmp_path: Path) -> None:
    site.children[1].argv = [sys.executable, "-c", "print('out of coal'); raise SystemExit(3)"]

    with (
        StopSignals(tmp_path) as signals,
        pytest.raises(ChildEndedError, match=r"worker ended by itself \(exit code 3\)"),
        site.running({}),
    ):
        site.watch([], signals)

    assert not any(child.is_running for child in site.children)


def test_an_embedded_server_that_ends_stops_the_demo(site: Site, tmp_path: Path) -> None:
    server = Child(name="valkey", argv=[sys.executable, "-c", ""], records=tmp_path)
    server.start(output=subprocess.DEVNULL)

    with (
        StopSignals(tmp_path) as signals,
        pytest.raises(ChildEndedError, match="valkey ended by itself"),
        site.running({}),
    ):
        site.watch([server], signals)
    server.stop()


def test_a_shop_that_never_answers_is_given_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("funnel.local.site.READY_SECONDS", 0.3)

    with (
        StopSignals(tmp_path) as signals,
        pytest.raises(LocalError, match="The shop doesn't answer"),
        site.running({}),
    ):
        site.wait_until_ready(signals)


def test_what_an_earlier_run_left_is_stopped_and_said(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = Child(name="web", argv=site.children[0].argv, records=tmp_path)
    left.start(output=subprocess.DEVNULL)

    site.stop_leftovers()

    assert not left.is_running
    assert capsys.readouterr().out == "Stopped web, which an earlier run had left running.\n"

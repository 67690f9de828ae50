"""The simulator as a program: ``manage.py nmi_simulator`` and ``python -m``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from funnel.local.ports import free_port
from funnel.payments.nmi.simulator import running_simulator
from funnel.payments.nmi.simulator.cards import CARDS
from funnel.payments.nmi.simulator.cli import Options, SimulatorRefusedError, introduction, run
from funnel.payments.nmi.simulator.modes import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 30


class Program:
    """A simulator in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        module = [sys.executable, "-m", "funnel.payments.nmi.simulator"]
        self.process = subprocess.Popen(
            [*module, "--port", str(self.port), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/_control/").close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("the simulator did not answer")

    def charge(self) -> None:
        body = b"security_key=simulator-security-key&type=sale&orderid=fs-1&amount=5.00"
        sale = body + b"&ccnumber=4111111111111111"
        urllib.request.urlopen(f"{self.url}/api/transact.php", sale).close()

    def orders(self) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/_control/books") as answer:
            return [each["order_id"] for each in json.load(answer)["transactions"]]

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, output


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.communicate()


def test_it_says_where_it_is_keeps_its_books_and_ends_cleanly(
    programs: list[Program], tmp_path: Path
) -> None:
    books = tmp_path / "books.jsonl"
    programs.append(Program("--books", str(books)))
    programs[0].wait()
    programs[0].charge()

    code, output = programs[0].stop(signal.SIGTERM)

    assert code == 0, output
    assert output.startswith(f"NMI simulator at {programs[0].url}")
    assert "sale fs-1 5.00 → 100 SUCCESS" in output
    assert output.endswith("Stopped.\n")
    log = output.partition("Stop: Ctrl-C")[2]
    assert "4111111111111111" not in log + books.read_text()

    programs.append(Program("--books", str(books), "--mode", "decline"))
    programs[1].wait()
    assert programs[1].orders() == ["fs-1"]
    code, output = programs[1].stop(signal.SIGINT)
    assert (code, output.splitlines()[-1]) == (0, "Stopped.")


def test_it_lists_its_cards_and_modes() -> None:
    with running_simulator() as simulator:
        text = introduction(simulator, Options())

    for wanted in (*CARDS, *MODES, simulator.settings["URL"], simulator.settings["COLLECT_URL"]):
        assert wanted in text
    assert simulator.security_key not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(host="0.0.0.0"), "--i-know-it-has-no-password"),
        (Options(host="192.0.2.1"), "no password"),
        (Options(host="shop.example"), "no password"),
        (Options(mode="nonsense"), "There is no mode 'nonsense'"),
        (Options(port=70_000), "not a port's number"),
    ],
)
def test_a_senseless_option_is_refused(options: Options, said: str) -> None:
    with pytest.raises(SimulatorRefusedError, match=said):
        run(options, say=print)


def test_a_host_that_others_reach_needs_a_word() -> None:
    said: list[str] = []
    options = Options(host="0.0.0.0", port=free_port(), i_know_it_has_no_password=True)

    def stop_at_once(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            signal.raise_signal(signal.SIGINT)

    run(options, say=stop_at_once)

    assert said[0].startswith(f"NMI simulator at http://0.0.0.0:{options.port} ")
    assert said[1:] == ["Stopped."]


def test_a_busy_port_is_said_by_the_command() -> None:
    with running_simulator() as simulator:
        port = int(simulator.url.rpartition(":")[2])

        with pytest.raises(CommandError, match=f"Port {port} is busy. Choose another: --port"):
            call_command("nmi_simulator", port=port)


def test_books_that_cannot_be_read_are_said_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "books").write_text("nonsense\n")

    with pytest.raises(CommandError, match="line 1: not a line of books"):
        call_command("nmi_simulator", books=tmp_path / "books", port=free_port())

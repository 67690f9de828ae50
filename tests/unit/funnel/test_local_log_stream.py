from __future__ import annotations

import io
import os
import time

from funnel.local.log_stream import LINES_KEPT, LogStream


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def feed(logs: LogStream, name: str, text: bytes) -> None:
    """Let the stream read the text to its end."""
    reading, writing = os.pipe()
    logs.follow(name, os.fdopen(reading, "rb"))
    os.write(writing, text)
    os.close(writing)
    last = text.decode(errors="replace").splitlines()[-1]
    deadline = time.monotonic() + 5
    while last not in logs.tail(name) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_each_line_names_its_source() -> None:
    out = io.StringIO()
    logs = LogStream(out)
    logs.is_open = True

    feed(logs, "web", b"one\ntwo\n")
    feed(logs, "worker", b"three\n")

    assert out.getvalue() == "web    | one\nweb    | two\nworker | three\n"


def test_until_it_is_open_lines_are_kept_and_not_shown() -> None:
    out = io.StringIO()
    logs = LogStream(out)

    feed(logs, "web", b"started\n")

    assert out.getvalue() == ""
    assert logs.tail("web") == "  started"


def test_only_the_last_lines_are_kept() -> None:
    logs = LogStream(io.StringIO())

    feed(logs, "web", b"".join(b"line %d.\n" % number for number in range(100)))

    kept = logs.tail("web").splitlines()
    assert len(kept) == LINES_KEPT
    assert kept[-1] == "  line 99."


def test_colours_are_for_terminals() -> None:
    terminal, file = Terminal(), io.StringIO()

    for out in (terminal, file):
        logs = LogStream(out)
        logs.is_open = True
        feed(logs, "web", b"\x1b[31mred\x1b[0m\n")

    assert terminal.getvalue() == "\x1b[36mweb    |\x1b[0m \x1b[31mred\x1b[0m\n"
    assert file.getvalue() == "web    | red\n"


def test_bytes_that_are_no_text_are_shown_somehow() -> None:
    out = io.StringIO()
    logs = LogStream(out)
    logs.is_open = True

    feed(logs, "web", b"caf\xe9\n")

    assert out.getvalue() == "web    | caf\N{REPLACEMENT CHARACTER}\n"


def test_a_closed_terminal_does_not_stop_the_reading() -> None:
    logs = LogStream(Gone())
    logs.is_open = True

    feed(logs, "web", b"one\ntwo\nthree\n")

    assert logs.tail("web").splitlines() == ["  one", "  two", "  three"]


def test_a_process_never_followed_has_no_last_lines() -> None:
    assert LogStream(io.StringIO()).tail("valkey") == ""

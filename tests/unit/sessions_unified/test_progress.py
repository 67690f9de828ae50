"""How long work tells where it is, away from a terminal and at one."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from sessions_unified.progress import _lines, progress

if TYPE_CHECKING:
    import pytest


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_away_from_a_terminal_a_line_now_and_then() -> None:
    out = StringIO()
    times = iter([0.0, 4.9, 5.0, 5.1, 6.0, 11.0, 11.0])
    advance = _lines("Reading", 5000, out, monotonic=lambda: next(times))

    for _ in range(4):
        advance(1000)

    assert out.getvalue().splitlines() == ["Reading: 2,000 of 5,000", "Reading: 4,000 of 5,000"]


def test_soon_done_it_says_nothing() -> None:
    out = StringIO()

    with progress("Reading", total=2, out=out) as advance:
        advance(2)

    assert out.getvalue() == ""


def test_at_a_terminal_it_draws_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = Terminal()

    with progress("Reading", total=2, out=out) as advance:
        advance(2)

    assert out.getvalue() == ""
    assert "Reading" in capsys.readouterr().out

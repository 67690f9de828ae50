"""How long work tells where it is, away from a terminal and at one."""

from __future__ import annotations

from io import StringIO

import pytest

from sessions_unified.progress import _lines, progress, rate_of


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def told(times: list[float], steps: list[int], *, total: int, done: int = 0) -> list[str]:
    """Return what is printed; the first of ``times`` is the beginning's."""
    out, clock = StringIO(), iter(times)
    advance = _lines("Reading", total, out, done=done, monotonic=lambda: next(clock))
    for number in steps:
        advance(number)
    return out.getvalue().splitlines()


def test_away_from_a_terminal_a_line_now_and_then() -> None:
    times = [0.0, 4.9, 5.0, 5.1, 10.0]

    assert told(times, [1000] * 4, total=5000) == [
        "Reading: 2,000 of 5,000, 400/s, 0:00:08 left",
        "Reading: 4,000 of 5,000, 400/s, 0:00:02 left",
    ]


def test_what_was_done_before_counts_for_no_rate() -> None:
    assert told([0.0, 10.0], [50], total=1000, done=900) == [
        "Reading: 950 of 1,000, 5/s, 0:00:10 left"
    ]


def test_the_rate_is_that_of_the_last_minute() -> None:
    minute = [5.0 * number for number in range(13)]

    lines = told([*minute, 65.0], [6000] + [5] * 12, total=7000)

    assert lines[0].endswith(", 1,200/s, 0:00:01 left")
    assert lines[-1] == "Reading: 6,060 of 7,000, 1/s, 0:15:40 left"


@pytest.mark.parametrize(
    ("steps", "total", "said"),
    [([1], 100, "0:16:30 left"), ([0], 100, "time left unknown"), ([120], 100, "nearly done")],
)
def test_time_left(steps: list[int], total: int, said: str) -> None:
    (line,) = told([0.0, 10.0], steps, total=total)

    assert line.endswith(said)


def test_slow_work_is_told_by_the_minute() -> None:
    assert (rate_of(0.25), rate_of(1), rate_of(12_345.6)) == ("15.0/min", "1/s", "12,346/s")


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

    with progress("Reading", total=20, done=10, out=out) as advance:
        advance(5)
        advance(5)

    shown = capsys.readouterr().out
    assert out.getvalue() == ""
    assert "Reading" in shown
    assert "20/20" in shown
    assert "/s" in shown

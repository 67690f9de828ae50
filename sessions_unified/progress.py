"""How long work tells a person where it is: a bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from io import TextIOBase

Advance = Callable[[int], None]

_SECONDS_BETWEEN_LINES: Final = 5.0
_LINES_OF_RATE: Final = 12  # the rate is that of the last minute: what it is now, without jumps


@contextmanager
def progress(title: str, *, total: int, out: TextIOBase, done: int = 0) -> Iterator[Advance]:
    """Yield a function that is told how many more are done; ``total`` may be a little wrong.

    ``out`` is a command's ``self.stdout``; ``done`` were done before, and count for no rate. The
    bar needs ``rich`` (the extra ``progress``); without it lines are printed at a terminal too.
    """
    if out.isatty():
        try:
            import rich.progress  # noqa: F401, PLC0415  (optional, and slow to load)
        except ImportError:
            pass
        else:
            with _bar(title, total, done) as advance:
                yield advance
            return
    yield _lines(title, total, out, done=done)


def rate_of(per_second: float) -> str:
    """Return a rate in words; slow work is told by the minute."""
    if per_second >= 1:
        return f"{per_second:,.0f}/s"
    return f"{per_second * 60:.1f}/min"


def time_left(left: int, per_second: float) -> str:
    """Return in words how long ``left`` more take."""
    if left <= 0:
        return "nearly done"
    if per_second <= 0:
        return "time left unknown"
    return f"{timedelta(seconds=round(left / per_second))} left"


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text  # noqa: PLC0415

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate_of(speed))

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(), transient=True) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda number: bar.advance(task, number)


def _lines(
    title: str,
    total: int,
    out: TextIOBase,
    *,
    done: int = 0,
    monotonic: Callable[[], float] = time.monotonic,
) -> Advance:
    """Return a function that prints a line now and then: none for work that is soon done."""
    marks = deque([(monotonic(), done)], maxlen=_LINES_OF_RATE)

    def advance(number: int) -> None:
        nonlocal done
        done += number
        now = monotonic()
        if now - marks[-1][0] < _SECONDS_BETWEEN_LINES:
            return
        began, before = marks[0]
        rate = (done - before) / (now - began)
        marks.append((now, done))
        told = f"{done:,} of {total:,}, {rate_of(rate)}, {time_left(total - done, rate)}"
        out.write(f"{title}: {told}\n")
        out.flush()

    return advance

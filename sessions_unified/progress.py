"""How long work tells a person where it is: a bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from io import TextIOBase

Advance = Callable[[int], None]

_SECONDS_BETWEEN_LINES: Final = 5.0


@contextmanager
def progress(title: str, *, total: int, out: TextIOBase) -> Iterator[Advance]:
    """Yield a function that is told how many more are done; ``total`` may be a little wrong.

    ``out`` is a command's ``self.stdout``. The bar needs ``rich`` (the extra ``progress``);
    without it lines are printed at a terminal too.
    """
    if out.isatty():
        try:
            import rich.progress  # noqa: F401, PLC0415  (optional, and slow to load)
        except ImportError:
            pass
        else:
            with _bar(title, total) as advance:
                yield advance
            return
    yield _lines(title, total, out)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda number: bar.advance(task, number)


def _lines(
    title: str, total: int, out: TextIOBase, monotonic: Callable[[], float] = time.monotonic
) -> Advance:
    """Return a function that prints a line now and then: none for work that is soon done."""
    done, printed_at = 0, monotonic()

    def advance(number: int) -> None:
        nonlocal done, printed_at
        done += number
        if monotonic() - printed_at >= _SECONDS_BETWEEN_LINES:
            printed_at = monotonic()
            out.write(f"{title}: {done:,} of {total:,}\n")
            out.flush()

    return advance

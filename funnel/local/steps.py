"""Saying what is being done while it is done."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from funnel.local.exceptions import StopRequestedError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Say(Protocol):
    """Shows text at once, as it is: the newline is the caller's."""

    def __call__(self, text: str, /) -> None:
        """Show the text."""


def silent(_: str, /) -> None:
    """Say nothing."""


def aloud(text: str, /) -> None:
    """Print the text now, even where lines are buffered; a terminal that is gone is no error.

    Otherwise a closed window would keep what is being said to be stopped from being stopped.
    """
    with suppress(OSError):
        print(text, end="", flush=True)


@contextmanager
def step(say: Say, title: str) -> Iterator[None]:
    """Say ``<title> … ok (1.2 s)``, the first half before the work and the second after it."""
    say(f"{title} … ")
    started = time.monotonic()
    try:
        yield
    except StopRequestedError:
        say("stopped\n")
        raise
    except BaseException:
        say("failed\n")
        raise
    say(f"ok ({time.monotonic() - started:.1f} s)\n")

"""Python's cycle collector, which a batch keeps busy for nothing."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Threads share the collector: one that looks while another turns it on would leave it off.
_turning: Final = threading.Lock()


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let the collector rest for one batch; reference counts free what the batch leaves.

    A batch makes some ten thousand objects without a cycle; to look through them, and through all
    others, again and again took a tenth of a backfill's time. Between batches it does its work.
    """
    with _turning:
        was_enabled = gc.isenabled()
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            with _turning:
                gc.enable()

"""One core for everything that is measured: unpinned, a bare GET's p50 doubles now and then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def pin() -> str:
    """Pin this process, and so every process it starts, to one core; say which, or why not."""
    try:
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {core})
    except (AttributeError, OSError) as exc:
        return f"not pinned ({type(exc).__name__}: this system cannot)"
    return f"pinned to core {core}"


def pinned(pids: Iterable[int]) -> bool:
    """Tell whether processes run on our core alone."""
    try:
        own = os.sched_getaffinity(0)
        return len(own) == 1 and all(os.sched_getaffinity(pid) == own for pid in pids)
    except (AttributeError, OSError):
        return False

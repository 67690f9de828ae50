"""A legacy store that lets requests wait in vain is left alone for a while, then tried again."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Final

from legacy_adapters.exceptions import SourceUnavailableError
from sessions_unified.tiers.breaker import CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.base import LegacyAdapter, LegacyRecord

SLOW_SECONDS: Final = 0.5
"""A failure that comes sooner holds nobody up, and is not counted."""

_FAILURES: Final = 3
_RESET_SECONDS: Final = 5.0


def peek(
    adapter: LegacyAdapter, session_id: str, *, monotonic: Callable[[], float] = time.monotonic
) -> LegacyRecord | None:
    """Return a record as the adapter does, if its store has not lately failed slowly.

    Each such failure held a request and a connection of ours. After three in a row, in this
    process, the store is not asked for five seconds; then one request tries it.

    Raises:
        SourceUnavailableError: the store did not answer, or was not asked.

    """
    breaker = _breaker(adapter.source)
    if not breaker.allows():
        raise SourceUnavailableError(
            f"The legacy store {adapter.source!r} did not answer lately. It is tried again soon."
        )
    began = monotonic()
    try:
        record = adapter.peek(session_id)
    except SourceUnavailableError:
        if monotonic() - began >= SLOW_SECONDS:
            breaker.failed()
        raise
    breaker.succeeded()
    return record


@cache
def _breaker(source: str) -> CircuitBreaker:
    tier = f"legacy {source}"
    return CircuitBreaker(failures=_FAILURES, reset_seconds=_RESET_SECONDS, tier=tier)


os.register_at_fork(after_in_child=_breaker.cache_clear)  # their locks may be held, for ever

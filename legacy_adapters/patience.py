"""A legacy store that lets requests wait in vain is left alone for a while, then tried again."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from legacy_adapters.exceptions import SourceUnavailableError
from sessions_unified.tiers.breaker import CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from legacy_adapters.base import LegacyAdapter, LegacyRecord

Answer = TypeVar("Answer")

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
    return _asked(adapter, lambda: adapter.peek(session_id), monotonic)


def peek_many(
    adapter: LegacyAdapter,
    session_ids: Collection[str],
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, LegacyRecord]:
    """Return several records as the adapter does, on the same terms as `peek`: as one question.

    Raises:
        SourceUnavailableError: the store did not answer, or was not asked.

    """
    return _asked(adapter, lambda: adapter.peek_many(session_ids), monotonic)


def _asked(
    adapter: LegacyAdapter, ask: Callable[[], Answer], monotonic: Callable[[], float]
) -> Answer:
    breaker = _breaker(adapter.source)
    if not breaker.allows():
        raise SourceUnavailableError(
            f"The legacy store {adapter.source!r} did not answer lately. It is tried again soon."
        )
    began = monotonic()
    try:
        answer = ask()
    except SourceUnavailableError:
        if monotonic() - began >= SLOW_SECONDS:
            breaker.failed()
        raise
    breaker.succeeded()
    return answer


@cache
def _breaker(source: str) -> CircuitBreaker:
    tier = f"legacy {source}"
    return CircuitBreaker(failures=_FAILURES, reset_seconds=_RESET_SECONDS, tier=tier)


os.register_at_fork(after_in_child=_breaker.cache_clear)  # their locks may be held, for ever

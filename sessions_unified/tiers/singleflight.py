"""One load a key a process: concurrent misses wait for the first and share its result."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sessions_unified import metrics
from sessions_unified.exceptions import SessionsUnifiedError, TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

_LEADERS: Final = 3  # after so many have failed a reader loads by itself

_followed = metrics.FLIGHTS.labels("followed")
_replaced = metrics.FLIGHTS.labels("replaced")


class SingleFlight(Generic[Value]):
    """Loads under way, by key. A key is a lease, so a write ends the flights before it."""

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._flights: dict[str, Future[Value]] = {}

    def do(self, key: str, load: Callable[[], Value]) -> Value:
        """Return ``load()``'s value, or that of the load of this key already under way.

        A leader that dies or takes longer than the patience does not fail its followers: one of
        them leads instead: its request may have more time left. An error that is an answer (no
        such session) is shared.
        """
        for leader in range(_LEADERS):
            with self._lock:
                flight = self._flights.get(key)
                leads = flight is None
                if flight is None:
                    flight = self._flights[key] = Future()
            if leads:
                return self._lead(key, flight, load)
            try:
                value = flight.result(self._patience)
            except Exception as exc:
                if _is_answer(exc) or (leader and isinstance(exc, TierUnavailableError)):
                    raise
                _replaced.inc()  # the leader's fault; ours shows when we load
                self._end(key, flight)
            else:
                _followed.inc()
                return value
        return load()

    def start_afresh(self) -> None:
        """Forget the parent's flights in a child after fork: nobody there will land them."""
        self._lock = threading.Lock()
        self._flights = {}

    def _lead(self, key: str, flight: Future[Value], load: Callable[[], Value]) -> Value:
        try:
            value = load()
        except BaseException as exc:
            self._end(key, flight)
            # An interrupt is the leader's alone.
            flight.set_exception(exc if isinstance(exc, Exception) else CancelledError())
            raise
        self._end(key, flight)
        flight.set_result(value)
        return value

    def _end(self, key: str, flight: Future[Value]) -> None:
        """Let the next reader of ``key`` lead, unless one does already."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _is_answer(exc: Exception) -> bool:
    return isinstance(exc, SessionsUnifiedError) and not isinstance(exc, TierUnavailableError)

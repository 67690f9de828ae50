"""One load a key a process: concurrent misses wait for the first and share its result."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Generic, TypeVar

from sessions_unified.exceptions import SessionsUnifiedError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Loads under way, by key. A key is an L1 lease, so a write ends the flights before it."""

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._flights: dict[str, Future[Value]] = {}

    def do(self, key: str, load: Callable[[], Value]) -> Value:
        """Return ``load()``'s value, or that of the load of this key already under way.

        A leader that fails or takes too long does not fail its followers: each loads by itself.
        An error that is an answer (no such session) is shared.
        """
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if leads:
            return self._lead(key, flight, load)
        try:
            return flight.result(self._patience)
        except SessionsUnifiedError:
            raise
        except Exception:  # noqa: BLE001  (the leader's fault; ours shows when we load)
            return load()

    def _lead(self, key: str, flight: Future[Value], load: Callable[[], Value]) -> Value:
        try:
            value = load()
        except BaseException as exc:
            # An interrupt is the leader's alone.
            flight.set_exception(exc if isinstance(exc, Exception) else CancelledError())
            raise
        else:
            flight.set_result(value)
            return value
        finally:
            with self._lock:
                self._flights.pop(key, None)

"""Asking what may hang: an answer in time or none, and one question at a time.

For probes, scrapes and the doctor, which must answer while a server they ask does not.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class _Asking(threading.Thread, Generic[Answer]):
    """One call in a thread of its own, which a hung server may keep for as long as it likes."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        super().__init__(name="sessions-measuring", daemon=True)
        self._ask = ask
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.began_at = time.monotonic()
        self.ended_at: float | None = None

    def run(self) -> None:
        try:
            self.answer = self._ask()
        except Exception as exc:  # noqa: BLE001  (handed to whoever asked)
            self.error = exc
        finally:
            connections.close_all()
            self.ended_at = time.monotonic()


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """Return what ``ask`` returns.

    Raises:
        TimeoutError: it takes longer. It goes on in its thread, and nobody waits for it.
        Exception: what it raised.

    """
    asking = _Asking(ask)
    asking.start()
    asking.join(seconds)
    if asking.ended_at is None:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if asking.error is not None:
        raise asking.error
    return asking.answer  # type: ignore[return-value]  # it has ended without an error


class Kept(Generic[Answer]):
    """The answer to one question, kept for ``keep_seconds``, however many ask.

    Who asks waits ``patience_seconds`` at most, and gets None where there is no answer by then. One
    that raises, which is logged as a fault of the code, gives none either. One that hangs is waited
    for once, and not put again before it ends: a hung server costs one thread.
    """

    def __init__(
        self, ask: Callable[[], Answer], *, keep_seconds: float, patience_seconds: float
    ) -> None:
        self._ask = ask
        self._keep = keep_seconds
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._asking: _Asking[Answer] | None = None

    def get(self) -> Answer | None:
        """Return the answer, at most ``keep_seconds`` old."""
        asking = self._current()
        left = asking.began_at + self._patience - time.monotonic()
        if left > 0:
            asking.join(left)
        return asking.answer if self._is_fresh(asking) else None

    def forget(self) -> None:
        """Ask anew next time."""
        with self._lock:
            self._asking = None

    def _current(self) -> _Asking[Answer]:
        with self._lock:
            asking = self._asking
            if asking is None or not (asking.is_alive() or self._is_fresh(asking)):
                asking = self._asking = _Asking(self._logged)
                asking.start()
            return asking

    def _logged(self) -> Answer:
        try:
            return self._ask()
        except Exception:
            logger.exception("What a probe or a scrape measures could not be measured")
            raise

    def _is_fresh(self, asking: _Asking[Answer]) -> bool:
        ended = asking.ended_at
        return ended is not None and time.monotonic() - ended < self._keep

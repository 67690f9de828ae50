"""Database connections that keep a request's budget, even when the server has stopped answering.

``statement_timeout`` is the server's: one that hangs, or a network that swallows packets, never
keeps it. Use it with a pool::

    DATABASES["default"]["OPTIONS"]["pool"] = {"connection_class": BudgetedConnection, …}

Rule 5 of `manager`; `DATABASE_BUDGET_SECONDS`. Outside a request (commands, workers) there is none.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from django.core.signals import request_finished, request_started
from psycopg.errors import _WaitTimeout

from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = TypeVar("Row")

_INTERVAL_SECONDS: Final = 0.1  # psycopg's own: how often it looks for a signal
_LEAST_SECONDS: Final = 0.05
_CANCEL_SECONDS: Final = 0.2


# A context's, not a thread's: requests under ASGI share a thread.
_left: ContextVar[float | None] = ContextVar("left_seconds_for_the_database", default=None)


class BudgetedConnection(psycopg.Connection[Row]):
    """Waits for the server as long as the request may; then gives the connection up."""

    def wait(
        self, gen: Any, interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> Any:
        """Run one exchange with the server.

        Raises:
            psycopg.OperationalError: the request's time for the database is spent.

        """
        left = _left.get()
        if left is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, max(left, _LEAST_SECONDS))
        except _WaitTimeout as exc:
            self._give_up()
            message = "The database did not answer within this request's time for it"
            raise psycopg.OperationalError(message) from exc
        finally:
            _left.set(left - (time.monotonic() - began))

    def _give_up(self) -> None:
        # The server may still be at it; the next request would only wait behind.
        with suppress(Exception):
            self.cancel_safe(timeout=_CANCEL_SECONDS)
        self.pgconn.finish()


@contextmanager
def database_budget(seconds: float) -> Iterator[None]:
    """Let the block wait for the database ``seconds`` at most; for work that is no request."""
    token = _left.set(seconds)
    try:
        yield
    finally:
        _left.reset(token)


def _begin(**_: object) -> None:
    _left.set(get_conf().DATABASE_BUDGET_SECONDS)


def _end(**_: object) -> None:
    _left.set(None)


request_started.connect(_begin, dispatch_uid="sessions_unified.postgres.begin")
request_finished.connect(_end, dispatch_uid="sessions_unified.postgres.end")

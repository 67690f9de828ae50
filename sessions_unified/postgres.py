"""Database connections that keep a request's budget, and whose pool notices a restarted server.

``statement_timeout`` is the server's: one that hangs, or a network that swallows packets, never
keeps it. And a pool tries its connections one by one, with ever longer pauses; after a restart all
of them are dead, and a request's time for a connection is over before they are. Use it with a
pool::

    DATABASES["default"]["OPTIONS"]["pool"] = {"connection_class": BudgetedConnection, …}

Rule 5 of `manager`; `DATABASE_BUDGET_SECONDS`. Outside a request (commands, workers) there is none.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from django.core.signals import request_finished, request_started
from psycopg.errors import _WaitTimeout

from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg_pool import ConnectionPool

Row = TypeVar("Row")

_INTERVAL_SECONDS: Final = 0.1  # psycopg's own: how often it looks for a signal
_LEAST_SECONDS: Final = 0.05
_CANCEL_SECONDS: Final = 0.2
_RENEW_EVERY_SECONDS: Final = 1.0

_renewed_at: WeakKeyDictionary[ConnectionPool[Any], float] = WeakKeyDictionary()

# A context's, not a thread's: requests under ASGI share a thread.
_left: ContextVar[float | None] = ContextVar("left_seconds_for_the_database", default=None)


class BudgetedConnection(psycopg.Connection[Row]):
    """Waits for the server as long as the request may; then gives the connection up.

    One that the server ended, whoever used it (the pool's check too), renews its pool.
    """

    def wait(
        self, gen: Any, interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> Any:
        """Run one exchange with the server.

        Raises:
            psycopg.OperationalError: the request's time for the database is spent.

        """
        left = _left.get()
        if left is None or timeout is not None:
            return self._exchange(gen, interval, timeout)
        began = time.monotonic()
        try:
            return self._exchange(gen, interval, max(left, _LEAST_SECONDS))
        except _WaitTimeout as exc:
            self._give_up()
            message = "The database did not answer within this request's time for it"
            raise psycopg.OperationalError(message) from exc
        finally:
            _left.set(left - (time.monotonic() - began))

    def _exchange(self, gen: Any, interval: float, timeout: float | None) -> Any:
        try:
            return super().wait(gen, interval, timeout)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            # Not for one that was closed here: a server that is slow may answer the others.
            pool: Any = getattr(self, "_pool", None)
            if pool is not None and self.broken:
                renew_pool(pool)
            raise

    def _give_up(self) -> None:
        # The server may still be at it; the next request would only wait behind.
        with suppress(Exception):
            self.cancel_safe(timeout=_CANCEL_SECONDS)
        self.close()


def renew_pool(
    pool: ConnectionPool[Any], *, monotonic: Callable[[], float] = time.monotonic
) -> None:
    """Replace all connections of ``pool``: the idle ones now, the others when they come back.

    Nobody who waits for one is turned away. Once a second at most: while there is no other server,
    reads need their connections.
    """
    now = monotonic()
    if now - _renewed_at.get(pool, float("-inf")) >= _RENEW_EVERY_SECONDS:
        _renewed_at[pool] = now
        pool.drain()


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

"""Redis connections that keep a deadline: connect, handshake, write and read together.

redis-py's timeouts are for one step each: a server that is slow at every step makes one command
take a multiple of them. Here each step gets what is left until the thread's deadline.
"""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

_WITHOUT_DEADLINE_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.001  # a timeout of zero would mean "do not block"


class _Deadline(threading.local):
    """When this thread's commands must be over, in seconds of `time.monotonic`.

    ``at`` is None in threads that have all the time in the world, a second a step.
    """

    at: float | None = None


DEADLINE: Final = _Deadline()


def _left_seconds() -> float:
    at = DEADLINE.at
    if at is None:
        return _WITHOUT_DEADLINE_SECONDS
    left = at - time.monotonic()
    if left <= 0:
        message = "The time for Redis is up"
        raise redis.TimeoutError(message)
    return max(left, _LEAST_SECONDS)


class _KeepsDeadline:
    """A mixin for redis-py's connection classes."""

    _sock: Any
    socket_connect_timeout: float | None
    socket_timeout: float | None

    def _connect(self) -> Any:
        self.socket_connect_timeout = self.socket_timeout = _left_seconds()
        return super()._connect()  # type: ignore[misc]  # of the class mixed in

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        if self._sock is not None:
            # It holds for the reply too: a small command is written in no time.
            self._sock.settimeout(_left_seconds())
        super().send_packed_command(*args, **kwargs)  # type: ignore[misc]  # as above


@cache
def _keeping(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(f"Deadline{connection_class.__name__}", (_KeepsDeadline, connection_class), {})


class DeadlinePool(redis.ConnectionPool):
    """A pool whose check-out costs 2 µs instead of redis-py's 7: no spans, no lock on a reuse."""

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Return a connection that is ready for a command.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the server cannot be reached in time, or
                all connections are in use.

        """
        if self.pid != os.getpid():
            self._checkpid()
        try:
            connection = self._available_connections.pop()
        except IndexError:
            with self._lock:
                connection = self.make_connection()
        try:
            if connection._sock is not None and not _is_quiet(connection):  # noqa: SLF001
                connection.disconnect()
            connection.connect()
        except BaseException:
            connection.disconnect()
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back; one of before a fork is dropped."""
        if connection.pid == self.pid:
            self._available_connections.append(connection)


def _is_quiet(connection: Any) -> bool:
    """Tell whether an open connection may be used again.

    What can be read before a command is sent is the end of the stream, or the rest of a reply that
    nobody waited for: it must never answer another question (promise R47).
    """
    try:
        return not connection.can_read()
    except (redis.RedisError, OSError):
        return False


def pool_like(source: redis.ConnectionPool, *, size: int) -> redis.ConnectionPool:
    """Return a pool for the server of ``source``, whose connections keep the deadline.

    Address, credentials and TLS are ``source``'s. Its retries are not: a command that is tried
    again costs its time again. Nor is its greeting: RESP 2 without the client's name takes no round
    trip, RESP 3 takes three, each of which may be as slow as the command. A pool of another kind
    (Sentinel's) is returned as it is, with its own timeouts.
    """
    if type(source) not in {redis.ConnectionPool, redis.BlockingConnectionPool}:
        return source
    wanted = {
        name: value
        for name, value in source.connection_kwargs.items()
        if not name.startswith(("retry", "maint_notifications", "lib_"))
    } | {"retry": Retry(NoBackoff(), 0), "protocol": 2, "driver_info": None}
    return DeadlinePool(
        connection_class=_keeping(source.connection_class), max_connections=size, **wanted
    )

"""One time budget for a whole HTTP exchange: a network backend for httpx2's transport.

HTTP clients bound each single read. A server that sends a byte a second never breaks such a
bound, so here every wait gets only what is left of the whole, and every address of a host too.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpcore2

from sessions_unified.clock import elapsed_seconds

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable


class Deadline:
    """The moment when an exchange must be over, and whether any of it has been sent.

    Attributes:
        has_sent: set right before the first byte of the request leaves. While it is false, the
            other side has learned nothing.

    """

    def __init__(self, seconds: float) -> None:
        self._end = elapsed_seconds() + seconds
        self.has_sent = False

    def left(self) -> float:
        """Return the seconds that are left, more than 0.

        Raises:
            TimeoutError: none are.

        """
        left = self._end - elapsed_seconds()
        if left <= 0:
            raise TimeoutError
        return left


class DeadlineStream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the deadline; the timeouts it is given are unused."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come; empty once the other side has closed."""
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``."""
        rest = memoryview(buffer)
        while rest:
            self._socket.settimeout(self._deadline.left())
            self._deadline.has_sent = True
            rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> DeadlineStream:
        """Shake hands, checking the certificate. No part of the request is in that."""
        self._socket.settimeout(self._deadline.left())
        try:
            secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Return what the pool asks about a connection; there is only one, used once."""
        return None


class DeadlineBackend(httpcore2.NetworkBackend):
    """Opens connections that end with the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> DeadlineStream:
        """Connect to the first address of ``host`` that takes the connection."""
        # Looking a name up cannot be interrupted; the resolver has its own limit. If that takes
        # the whole time, nothing is sent any more.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError = ConnectionError("The host has no address.")
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            # One that never answers leaves the others their share of the time.
            share = self._deadline.left() / (len(found) - tried)
            try:
                return DeadlineStream(
                    _connected(socket.socket(family, kind, protocol), address, share),
                    self._deadline,
                )
            except OSError as exc:
                failure = exc
        raise failure


def _connected(connection: socket.socket, address: Any, seconds: float) -> socket.socket:
    connection.settimeout(seconds)
    try:
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection

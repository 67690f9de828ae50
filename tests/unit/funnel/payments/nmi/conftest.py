"""A raw server on loopback that does exactly what a test says, and the settings that name it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

KEY = "sk-canary-5d1f0c"
GATEWAY = "funnel.payments.nmi.NmiGateway"


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class RawServer:
    """Accepts connections, reads a request, and leaves the rest to its handler.

    Attributes:
        requests: what came, byte by byte, one a connection.
        gone: set at the end of the test, for handlers that go on and on.

    """

    def __init__(self, handler: Callable[[socket.socket, RawServer], None]) -> None:
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        self._served = threading.Semaphore(0)
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/"

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def wait(self) -> None:
        """Wait until one connection has been served."""
        assert self._served.acquire(timeout=10)

    def close(self) -> None:
        """Stop, and wait until every connection is done with; repeating it does nothing."""
        self.gone.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client has gone: what many a test is about
            self._handler(connection, self)
        self._served.release()


def read_request(connection: socket.socket) -> bytes:
    """Return a whole request, as its Content-Length says; what came, if the client goes."""
    came = b""
    while True:
        head, mark, body = came.partition(b"\r\n\r\n")
        if mark:
            lengths = [
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            if len(body) >= sum(lengths):
                return came
        more = connection.recv(65536)
        if not more:
            return came
        came += more


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket, RawServer], None]], RawServer]]:
    servers: list[RawServer] = []

    def start(handler: Callable[[socket.socket, RawServer], None]) -> RawServer:
        servers.append(RawServer(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def nmi(settings: SettingsWrapper) -> Callable[..., None]:
    """Set ``FUNNEL["NMI"]``; a time that no healthy exchange on this machine needs."""

    def use(**conf: Any) -> None:
        given = {"SECURITY_KEY": KEY, "TIMEOUT_SECONDS": 10, **conf}
        settings.FUNNEL = {"GATEWAY": GATEWAY, "NMI": given}

    return use


@pytest.fixture
def answering(
    raw_server: Callable[..., RawServer], nmi: Callable[..., None]
) -> Callable[..., RawServer]:
    """Start a server that sends these bytes to every request, and point the settings at it."""

    def start(answer: bytes, **conf: Any) -> RawServer:
        def handle(connection: socket.socket, server: RawServer) -> None:
            server.requests.append(read_request(connection))
            connection.sendall(answer)

        server = raw_server(handle)
        nmi(**({"URL": server.url} | conf))
        return server

    return start

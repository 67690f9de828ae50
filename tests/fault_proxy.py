"""A TCP proxy that fails as networks and servers do, switched while the connections live."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

from funnel.local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Coroutine

CHUNK = 1 << 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for 0 s: the peer gets RST, not FIN
SWITCH_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the traffic.

    Attributes:
        kind: pass, refuse, reset, hang or mute.
        delay: seconds before each piece of the server's answers.
        jitter: how much that varies to either side.
        cut_after: bytes from the server, for each connection, until it is closed; None: no end.
        since: what a client must have sent before this is for its connection; empty: nothing.

    """

    kind: str = "pass"
    delay: float = 0
    jitter: float = 0
    cut_after: int | None = None
    since: bytes = b""


@dataclass(eq=False)
class Connection:
    """One client, and the bytes that the server sent to it under the present fault."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    fault: Fault | None = None
    passed: int = 0
    asked_for: Fault | None = None  # the fault whose words its client has sent
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FaultProxy:
    """Stands between clients and ``target``: ``with FaultProxy(target=(host, port)) as proxy``.

    Every method may be called from any thread and has happened when it returns. A switch is for
    open connections too; what `hang` held back flows on afterwards.

    Attributes:
        target: the server's host and port; may be replaced, for new connections.
        port: where clients connect, the same for the proxy's life: nobody else gets it meanwhile.
        connections: how many were accepted.
        requests: pieces that clients sent.
        from_server: bytes that clients were sent.
        words: what to count in what clients send.
        heard: how often they were sent.

    """

    target: tuple[str, int]
    seed: int = 0
    port: int = field(default=0, init=False)
    connections: int = field(default=0, init=False)
    requests: int = field(default=0, init=False)
    from_server: int = field(default=0, init=False)
    words: bytes = field(default=b"", init=False)
    heard: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        self._random = random.Random(self.seed)
        self._open: set[Connection] = set()
        self._server: asyncio.Server | None = None
        # Bound, never listening: connections are refused, and the port stays ours.
        self._reserved = _bound(0)
        self.port = self._reserved.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._thread.start()
        self.pass_on()
        return self

    def __exit__(self, *exc: object) -> None:
        self.refuse()
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reserved.close()

    @property
    def address(self) -> str:
        """Return ``host:port`` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def open_connections(self) -> int:
        """Return how many clients are connected."""
        return len(self._open)

    def url(self, url: str) -> str:
        """Return that URL of the target as clients of the proxy write it."""
        login, at, _ = urlsplit(url).netloc.rpartition("@")
        return urlunsplit(urlsplit(url)._replace(netloc=f"{login}{at}{self.address}"))

    def pass_on(self) -> None:
        """Heal: everything passes."""
        self._switch(Fault())

    def refuse(self) -> None:
        """Refuse new connections, as no server does; reset the open ones."""
        self._switch(Fault(kind="refuse"))

    def reset(self) -> None:
        """Accept and reset: the open connections, and new ones at once."""
        self._switch(Fault(kind="reset"))

    def hang(self) -> None:
        """Accept and never answer; open connections stall."""
        self._switch(Fault(kind="hang"))

    def mute(self, *, since: bytes = b"") -> None:
        """Pass on what clients send and hold back every answer, from the one to ``since`` on."""
        self._switch(Fault(kind="mute", since=since))

    def count(self, words: bytes) -> None:
        """Begin to count ``words`` in what clients send."""
        self.words, self.heard = words, 0

    def delay(self, seconds: float, jitter: float = 0) -> None:
        """Hold back each answer for so many seconds, ± ``jitter``."""
        self._switch(Fault(delay=seconds, jitter=jitter))

    def cut_after(self, count: int) -> None:
        """Close each connection once the server has sent that many bytes more."""
        self._switch(Fault(cut_after=count))

    def drop_connections(self) -> None:
        """Reset the open connections once; new ones are treated as before."""
        self._run(self._reset_all())

    def _switch(self, fault: Fault) -> None:
        self._run(self._apply(fault))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SWITCH_SECONDS)

    async def _apply(self, fault: Fault) -> None:
        self._fault = fault
        if fault.kind == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        if fault.kind in {"refuse", "reset"}:
            await self._reset_all()
        if fault.kind != "refuse" and self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bound(self.port))

    async def _reset_all(self) -> None:
        connections = list(self._open)
        for connection in connections:
            _reset(connection.client)
        for connection in connections:  # each is closed by its own task
            await connection.closed.wait()

    async def _finish(self) -> None:
        """Let the last of those who came while it closed be closed too."""
        # Accepting takes some turns of the loop, and a task that never began closes nothing.
        for _ in range(10):
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(client)
        if self._fault.kind in {"refuse", "reset"}:
            _reset(client)
            return
        self._open.add(connection)
        pumps: list[asyncio.Task[None]] = []
        try:
            # Until it is let through, a client may also leave.
            if not await self._let_through(connection, {"hang"}):
                return
            server_reader, connection.server = await asyncio.open_connection(*self.target)
            pumps = [
                asyncio.create_task(self._up(reader, connection)),
                asyncio.create_task(self._down(server_reader, connection)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            _reset(client)  # the target is gone: so is the proxy's end
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in filter(None, (connection.server, client)):
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            self._open.discard(connection)
            connection.closed.set()

    async def _up(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        assert connection.server is not None
        while data := await reader.read(CHUNK):
            self.requests += 1
            self.heard += data.count(self.words) if self.words else 0
            if self._fault.since in data:
                connection.asked_for = self._fault
            if not await self._let_through(connection, {"hang"}):
                return
            connection.server.write(data)
            await connection.server.drain()

    async def _down(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        while data := await reader.read(CHUNK):
            if not await self._let_through(connection, {"hang", "mute"}):
                return
            fault = self._fault
            if fault is not connection.fault:
                connection.fault, connection.passed = fault, 0
            if fault.delay:
                await asyncio.sleep(fault.delay + self._random.uniform(-1, 1) * fault.jitter)
            cut = fault.cut_after
            data = data if cut is None else data[: cut - connection.passed]
            connection.passed += len(data)
            self.from_server += len(data)
            connection.client.write(data)
            await connection.client.drain()
            if cut is not None and connection.passed >= cut:
                return

    async def _let_through(self, connection: Connection, held_by: set[str]) -> bool:
        while self._fault.kind in held_by and self._is_for(connection):
            if connection.client.is_closing():
                return False
            await asyncio.sleep(0.005)
        return not connection.client.is_closing()

    def _is_for(self, connection: Connection) -> bool:
        return not self._fault.since or connection.asked_for is self._fault


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((LOOPBACK, port))
    return sock


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()

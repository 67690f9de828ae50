"""HTTP: routes, wrong keys, and answers that never come."""

from __future__ import annotations

import hmac
import json
import select
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from funnel.payments.nmi.simulator import collect
from funnel.payments.nmi.simulator.control import PREFIX, Control
from funnel.payments.nmi.simulator.replies import Reply, form, xml_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.payments.nmi.simulator.simulator import Simulator

_MAX_BODY: Final = 1_000_000
_HANG_STEP_SECONDS: Final = 0.05
_NOT_FOUND: Final = Reply(status=404, body=b"Not found\n", content_type="text/plain")
_WRONG_HOST: Final = Reply(
    status=421, body=b"Call it by its address, or localhost.\n", content_type="text/plain"
)
_BAD_REQUEST: Final = Reply(status=400, body=b"Bad request\n", content_type="text/plain")


class Server(ThreadingHTTPServer):
    """One thread a connection.

    Attributes:
        stopping: set when hanging answers are to end.

    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        address: tuple[str, int],
        simulator: Simulator,
        *,
        hang_seconds: float,
        say: Callable[[str], object] | None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.simulator = simulator
        self.control = Control(simulator=simulator)
        self.stopping = threading.Event()
        self.hang_seconds = hang_seconds
        self.say = say or _say_nothing
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for our name, which http.server would."""
        super(ThreadingHTTPServer, self).server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: it is what they are here to practise."""


class Handler(BaseHTTPRequestHandler):
    """One request after another, on one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Serve Collect.js, its frames, and the control API's pages."""
        path = urlsplit(self.path).path
        if path.startswith(PREFIX):
            here = self._is_called_by_address()
            page = self.server.control.get(path.removeprefix(PREFIX)) if here else _WRONG_HOST
            self._send(page)
        else:
            self._send(collect.page(path) or _NOT_FOUND)

    def do_POST(self) -> None:
        """Serve the gateway's API, tokens, and the control API's acts."""
        path = urlsplit(self.path).path
        body = self._body()
        if body is None:
            self.close_connection = True
            self._send(_BAD_REQUEST)
        elif path in {"/api/transact.php", "/api/query.php"}:
            self._send(self._gateway(path, body))
        elif path == "/token/create":
            self._send(collect.create(self.server.simulator, self._json(body)))
        elif path.startswith(PREFIX):
            self._send(self._control(path.removeprefix(PREFIX), body))
        else:
            self._send(_NOT_FOUND)

    def _gateway(self, path: str, body: bytes) -> Reply:
        simulator = self.server.simulator
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        key = fields.get("security_key", "").encode()
        is_known = hmac.compare_digest(key, simulator.security_key.encode())
        if path == "/api/query.php":
            if not is_known:
                return xml_error("Invalid Security Key REFID:1")
            return simulator.query.answer(fields)
        if not is_known:
            told = {
                "response": "3",
                "responsetext": "Authentication Failed",
                "response_code": "300",
            }
            return form(told, note="wrong security key")
        return simulator.transact.answer(fields)

    def _is_called_by_address(self) -> bool:
        """Tell whether a request is for us by an address or a name without a dot.

        Other names may be a stranger's, led here by the name server for a page of theirs to read
        and change the books as its own.
        """
        with suppress(ValueError):
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            if "." not in host and ":" not in host:
                return bool(host)
            return bool(ip_address(host))
        return False

    def _control(self, path: str, body: bytes) -> Reply:
        if not self._is_called_by_address():
            return _WRONG_HOST
        # A page of another site can send a form here, but no JSON: it would have to ask first.
        if self.headers.get_content_type() != "application/json":
            return Reply(status=415, body=b"Send JSON.\n", content_type="text/plain")
        given = self._json(body)
        return _BAD_REQUEST if given is None else self.server.control.post(path, given)

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            return None
        return self.rfile.read(int(length))

    @staticmethod
    def _json(body: bytes) -> dict[str, Any] | None:
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return None
        return given if isinstance(given, dict) else None

    def _send(self, reply: Reply) -> None:
        if reply.note:
            ending = {"send": "", "drop": ": connection dropped", "hang": ": no answer"}
            self.server.say(f"{reply.note}{ending[reply.delivery]}")
        if reply.delivery == "hang":
            self._hang()
        if reply.delivery != "send":
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(reply.body)

    def _hang(self) -> None:
        """Wait, until the client has had enough."""
        until = time.monotonic() + self.server.hang_seconds
        while time.monotonic() < until and not self.server.stopping.wait(_HANG_STEP_SECONDS):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def log_message(self, *_: Any) -> None:
        """Say nothing: what matters is said by `Server.say`."""


def _say_nothing(_line: str) -> None:
    """Keep quiet."""

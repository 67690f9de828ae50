"""A real receiver of webhooks: an HTTP server that answers what a test scripts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from funnel.local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = f"whsec_{base64.b64encode(b'a secret of thirty-two bytes ...').decode()}"
OTHER_SECRET = f"whsec_{base64.b64encode(b'another secret of thirty-two byt').decode()}"

Reply = tuple[int, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_by(self, secret: str) -> bool:
        """Verify as Standard Webhooks says, by this test's own words."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        stamp = self.headers["webhook-timestamp"]
        message = f"{self.id}.{stamp}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass(kw_only=True)
class Receiver:
    """What came, in order, and how it is answered: by `answer`, 200 without one."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Reply] = lambda _: (200, {})
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def types(self) -> list[str]:
        return [each.event["type"] for each in self.received]

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received]

    def take(self, request: Received) -> Reply:
        with self.lock:
            self.received.append(request)
        return self.answer(request)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    server = ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler)
    receiver = Receiver(url=f"http://{LOOPBACK}:{server.server_address[1]}/orders")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra = receiver.take(Received(path=self.path, headers=headers, body=body))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()  # who follows a redirect may come by GET

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server.RequestHandlerClass = Handler
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)

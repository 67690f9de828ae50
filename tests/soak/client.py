"""A bare HTTP client that keeps its connections, as a load balancer does."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from tests.soak.record import CUT, NOTHING

TIMEOUT_SECONDS: Final = 15
# Gunicorn closes idle connections after 2 s; a request sent into that would be cut for nothing.
IDLE_SECONDS: Final = 1


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, or the lack of one.

    Attributes:
        asked: when it was asked, by the monotonic clock.
        took: seconds.
        status: of HTTP, or `CUT`.
        body: the JSON; None: none.
        degraded: ``Session-Degraded``.
        cookie: that it sets, as it is to be sent.

    """

    asked: float
    took: float
    status: int = CUT
    body: Any = None
    degraded: str = NOTHING
    cookie: str = ""

    @property
    def version(self) -> int:
        """The session's version; 0: it says none."""
        return self.body.get("version", 0) if isinstance(self.body, dict) else 0


@dataclass(kw_only=True)
class Client:
    """One thread's connections, one to each web process."""

    bases: list[str]
    _open: dict[int, tuple[http.client.HTTPConnection, float]] = field(default_factory=dict)

    def send(self, node: int, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Ask once, and never again by itself: what happened to a cut request is not known."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            wanted["Content-Type"] = "application/json"
        connection = self._connection(node)
        asked = time.monotonic()
        try:
            connection.request(method, path, body=data, headers=wanted)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._open.pop(node, None)
            return Reply(asked=asked, took=time.monotonic() - asked)
        done = time.monotonic()
        self._open[node] = connection, done
        return Reply(
            asked=asked,
            took=done - asked,
            status=response.status,
            body=json.loads(content) if content else None,
            degraded=(response.headers["Session-Degraded"] or NOTHING).replace(", ", "+"),
            cookie=(response.headers["Set-Cookie"] or "").partition(";")[0],
        )

    def close(self) -> None:
        for connection, _ in self._open.values():
            connection.close()
        self._open.clear()

    def _connection(self, node: int) -> http.client.HTTPConnection:
        connection, used = self._open.get(node, (None, 0.0))
        if connection is not None and time.monotonic() - used < IDLE_SECONDS:
            return connection
        if connection is not None:
            connection.close()
        netloc = urlsplit(self.bases[node]).netloc
        return http.client.HTTPConnection(netloc, timeout=TIMEOUT_SECONDS)

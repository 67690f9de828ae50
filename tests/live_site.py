"""One real web process that many tests share, and clients that send exactly what they are told."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

START_SECONDS = 120
PROBLEM = "application/problem+json"
SOIL = [{"id": "SOIL", "quantity": 2}]
_keys = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_problem(self, status: int, code: str) -> bool:
        """Tell whether this is the RFC 9457 problem; shows itself where it isn't."""
        print(self.status, self.headers.items(), self.body[:2000])
        return (
            self.status == status
            and self.headers["Content-Type"] == PROBLEM
            and self.json["status"] == status
            and self.json["code"] == code
            and self.json["type"] == "about:blank"
            and bool(self.json["title"])
            and bool(self.json["detail"])
            and "Traceback" not in self.body.decode()
        )

    @property
    def fields(self) -> list[str]:
        """The names in the problem's ``errors``."""
        return [each["field"] for each in self.json.get("errors", [])]


@dataclass(kw_only=True)
class Caller:
    """An HTTP client without opinions: no cookie jar, no default headers, no retries."""

    base: str
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send ``body`` (bytes as they are, else JSON); keyword ``If_Match`` is ``If-Match``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = self.headers | given
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            wanted.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=30)
        try:
            connection.request(method, path, body=data, headers=wanted)
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()


@dataclass(kw_only=True)
class Shopper(Caller):
    """A caller with a session of their own and its cookie."""

    id: str = ""
    token: str = ""

    @classmethod
    def start(cls, base: str, **body: Any) -> Shopper:
        """Create a session and keep its cookie."""
        shopper = cls(base=base)
        given = {"email": "ana@example.org", "products": SOIL} | body
        created = shopper.send("POST", "/api/session/create", given)
        assert created.status == 201, created.body
        shopper.id = created.json["id"]
        shopper.token = created.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        shopper.headers["Cookie"] = f"funnel_session={shopper.token}"
        return shopper

    @property
    def path(self) -> str:
        return f"/api/session/{self.id}"

    def get(self, **headers: str) -> Answer:
        return self.send("GET", self.path, **headers)

    def patch(self, body: Any, **headers: str) -> Answer:
        return self.send("PATCH", self.path, body, **headers)

    def pay(self, token: str = "tok_approve", *, key: str | None = None, **body: Any) -> Answer:
        given = {"paymentToken": token} | body
        key = key or f"pay-{next(_keys)}"
        return self.send("POST", "/api/checkout/process", given, Idempotency_Key=key)

    def answer(
        self, offer: str, decision: str = "accept", *, key: str | None = None, **more: Any
    ) -> Answer:
        body = {"offer": offer, "decision": decision} | more
        key = key or f"answer-{next(_keys)}"
        return self.send("POST", "/api/upsell/process", body, Idempotency_Key=key)


@contextmanager
def running_site(records: Path, **env: str) -> Iterator[str]:
    """Run a web process on the test's own database and yield its base URL."""
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    child = Child(
        name=f"site-{port}",
        argv=programs.web(port=port, processes=1, threads=8),
        records=records,
        env={
            **os.environ,
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{name}")),
            "SITE_URL": url,
            **env,
        },
    )
    log = records / f"site-{port}.log"
    with log.open("wb") as output:
        child.start(output=output)
    try:
        _wait_for(child, url)
        yield url
    finally:
        child.stop()
        print(log.read_text(errors="replace")[-20_000:])


def _wait_for(child: Child, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.is_running:
        try:
            Caller(base=url).send("GET", "/livez")
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"The web process did not answer at {url}")


@pytest.fixture(scope="session")
def live_site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the base URL of a web process that all tests share."""
    with running_site(tmp_path_factory.mktemp("live_site")) as url:
        yield url


@pytest.fixture
def site(live_site: str, transactional_db: None) -> str:
    """Return the shared site's base URL; the database is emptied after the test."""
    return live_site

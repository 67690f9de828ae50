"""The API over HTTP, in one WSGI worker, against bare DRF views in the same worker."""

from __future__ import annotations

import http.client
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.conf import settings

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.paths import local_dir
from funnel.local.ports import LOOPBACK, free_port
from sessions_unified import get_manager
from tests.benchmarks.measuring import Side
from tests.benchmarks.rows import row
from tests.benchmarks.tokens import session_tokens
from tests.benchmarks.traffic import Expected, WrongTierError
from tests.benchmarks.views import wire_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured

_OK: Final = 200
_START_SECONDS: Final = 30
_SETTLING_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """One worker, and one connection to it that is kept alive."""

    connection: http.client.HTTPConnection
    cookies: dict[str, str]

    def get(self, prefix: str) -> Callable[[str], bytes]:
        """Return a function that GETs a session; it fails on any but a plain 200."""

        def send(key: str) -> bytes:
            self.connection.request("GET", prefix + key, headers={"Cookie": self.cookies[key]})
            response = self.connection.getresponse()
            body = response.read()
            if response.status != _OK or response.headers["Session-Degraded"]:
                raise WrongTierError(f"{prefix} answered {response.status}: {body[:200]!r}")
            return body

        return send


@row(
    operation="GET /api/session/{id}, L1 hit, one WSGI worker",
    baseline="a bare DRF view answering the same JSON",
    target=1.15,
)
def http_get_l1(bench: Bench) -> Measured:
    with _running(bench) as site:
        return _compared(bench, site, "/bench/bare/", Expected(transactions=None))


@row(
    operation="the same, L1 off",
    baseline="a DRF view that opens the token and does one GET",
    target=1.15,
)
def http_get_l2(bench: Bench) -> Measured:
    encoder = msgspec.json.Encoder()
    for session in get_manager().get_sessions(bench.ids).values():
        bench.redis.set(wire_key(session.id), encoder.encode(bench.wire(session)))
    with _running(bench, BENCH_L1="0") as site:
        return _compared(bench, site, "/bench/one-get/", Expected(gets=1, transactions=None))


def _compared(bench: Bench, site: Site, bare: str, expected: Expected) -> Measured:
    ours, theirs = site.get("/api/session/"), site.get(bare)
    assert json.loads(ours(bench.ids[0])) == json.loads(theirs(bench.ids[0]))

    def prepare(keys: Sequence[Any]) -> None:
        bench.forget(keys)
        for key in keys:
            ours(key)

    mine = Side(
        start=lambda: ours,
        keys=bench.ids,
        prepare=prepare,
        proof=bench.traffic.expecting(expected),
    )
    return bench.compare(mine, Side(start=lambda: theirs, keys=bench.ids))


@contextmanager
def _running(bench: Bench, **env: str) -> Iterator[Site]:
    port, directory = free_port(), local_dir() / "bench"
    child = Child(
        name="web",
        argv=programs.web(port=port, processes=1),
        records=directory,
        env={**os.environ, **env},
    )
    tokens = dict(zip(bench.ids, session_tokens(bench.ids), strict=True))
    name = settings.SESSIONS_UNIFIED["COOKIE_NAME"]
    with (directory / "web.log").open("wb") as log:
        child.start(output=log)
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        _wait_for(child, connection)
        yield Site(
            connection=connection,
            cookies={key: f"{name}={token}" for key, token in tokens.items()},
        )
    finally:
        connection.close()
        child.stop()


def _wait_for(child: Child, connection: http.client.HTTPConnection) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and child.is_running:
        try:
            connection.request("GET", "/livez")
            connection.getresponse().read()
        except OSError:
            connection.close()
            time.sleep(0.1)
        else:
            time.sleep(_SETTLING_SECONDS)  # L1's channel proves itself meanwhile
            connection.close()
            return
    raise WrongTierError("The web worker did not answer.")

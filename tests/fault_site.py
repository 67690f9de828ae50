"""A web process of the site whose ways to Redis and to PostgreSQL are fault proxies."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.ports import LOOPBACK, free_port
from tests import holding
from tests.fault_proxy import FaultProxy
from tests.live_site import Answer, Caller, Shopper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

SHOP = "http://shop.example"
START_SECONDS = 120
HOLD = "gateway.hold"
# Short, so that a test waits for seconds. What `make soak` takes instead is what a shop has.
SHORT: dict[str, Any] = {
    "SESSIONS_UNIFIED": {
        "STALENESS_BOUND_SECONDS": 2,
        "HEARTBEAT_SECONDS": 0.2,
        "HEARTBEAT_TIMEOUT_SECONDS": 1,
        "BREAKER_RESET_SECONDS": 0.5,
        "DATABASE_BUDGET_SECONDS": 1,
        "WATCH_SECONDS": 0.2,
        "PREPARED_STATEMENTS": False,  # a proxy counts statements by their text
    },
    "POOL": {"timeout": 0.5, "max_size": 4},
    "FUNNEL": {"GATEWAY": "tests.gateways.HeldGateway"},
}
# Where no budget is the subject: a busy machine spends one sooner than a fault does.
PATIENT: dict[str, Any] = {
    "SESSIONS_UNIFIED": {"HEARTBEAT_TIMEOUT_SECONDS": 5, "DATABASE_BUDGET_SECONDS": 20},
    "POOL": {"timeout": 20, "max_size": 8},
}
PATIENT_WITH_REDIS = {"REDIS_TIMEOUT_MS": "400", "REDIS_BUDGET_MS": "400"}

STATED: dict[str, Any] = {
    "SESSIONS_UNIFIED": {
        "STALENESS_BOUND_SECONDS": 60,
        "HEARTBEAT_SECONDS": 1,
        "HEARTBEAT_TIMEOUT_SECONDS": 3,
        "BREAKER_RESET_SECONDS": 5,
        "DATABASE_BUDGET_SECONDS": 5,
        "WATCH_SECONDS": 5,
    },
    "POOL": {"timeout": 2, "max_size": 8},
}


def merged(given: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the keys of some of them replaced."""
    return given | {name: given.get(name, {}) | keys for name, keys in changes.items()}


@dataclass(kw_only=True)
class FaultSite:
    """One web process, and what can happen to it."""

    base: str
    child: Child
    redis: FaultProxy
    database: FaultProxy
    log: Path
    shown: int = field(default=0, init=False)

    def heal(self) -> None:
        self.redis.pass_on()
        self.database.pass_on()

    def at(self, shopper: Shopper) -> Shopper:
        """Return the same shopper, who comes to this process."""
        return Shopper(
            base=self.base, id=shopper.id, token=shopper.token, headers=dict(shopper.headers)
        )

    def gateway_held_back(self) -> AbstractContextManager[None]:
        """Keep the gateway's answers back, in the processes that share its records too."""
        return holding.held_back(self.log.parent / HOLD)

    def show_log(self) -> None:
        """Print what it logged since the last time; pytest shows it where a test failed."""
        text = self.log.read_text(errors="replace")
        print(f"--- {self.child.name}\n{text[self.shown :][-20_000:]}")
        self.shown = len(text)

    def livez(self) -> Answer:
        return Caller(base=self.base).send("GET", "/livez")

    def kill_workers(self) -> None:
        """SIGKILL gunicorn's workers, as the kernel does when memory is short; it starts others."""
        assert self.child.process is not None
        for worker in psutil.Process(self.child.process.pid).children():
            worker.send_signal(signal.SIGKILL)

    def wait_until_up(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.livez()
            except OSError:
                assert self.child.is_running, f"{self.child.name} ended"
                assert time.monotonic() < deadline, f"{self.child.name} did not answer"
                time.sleep(0.05)
            else:
                return


def site_environment(
    *, redis_url: str, database_url: str, settings: dict[str, Any], **env: str
) -> dict[str, str]:
    """Return the environment of a process of the site under `tests.fault_settings`."""
    given = {
        "DJANGO_SETTINGS_MODULE": "tests.fault_settings",
        "FAULT_SETTINGS": json.dumps(settings),
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "REDIS_TIMEOUT_MS": "50",
        "REDIS_BUDGET_MS": "50",
        "SITE_URL": SHOP,
        "LOG_FORMAT": "lines",
        "LOG_LEVEL": "WARNING",
    }
    return {**os.environ, **given, **env}


def proxy_to(url: str) -> FaultProxy:
    """Return a proxy to the server of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return FaultProxy(target=(parts.hostname, parts.port))


@contextmanager
def fault_site(
    records: Path,
    *,
    redis_url: str,
    database_url: str,
    settings: dict[str, Any],
    threads: int = 8,
    processes: int = 1,
    **env: str,
) -> Iterator[FaultSite]:
    """Run a web process behind proxies of its own to the two servers."""
    port = free_port()
    with proxy_to(redis_url) as redis, proxy_to(database_url) as database:
        child = Child(
            name=f"site-{port}",
            argv=programs.web(port=port, processes=processes, threads=threads),
            records=records,
            env=site_environment(
                redis_url=redis.url(redis_url),
                database_url=database.url(database_url),
                settings=settings,
                **{holding.VARIABLE: str(records / HOLD)},
                **env,
            ),
        )
        log = records / f"site-{port}.log"
        with log.open("wb") as output:
            child.start(output=output)
        base = f"http://{LOOPBACK}:{port}"
        site = FaultSite(base=base, child=child, redis=redis, database=database, log=log)
        try:
            site.wait_until_up()
            yield site
        finally:
            site.heal()
            child.stop()
            site.show_log()

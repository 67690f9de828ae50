"""A live shop that is being moved: its processes, its shoppers, and what befalls them.

Two web processes, Celery's worker and its beat stand behind proxies to Redis, to our database and
to the old shop's. The test's own process is the operator's: see `tests.migration_operator`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from django.utils import timezone

from funnel.local import programs
from funnel.local.child import Child
from legacy_adapters.migration.repair.working import LEASE_SECONDS
from legacy_adapters.models import WriteMark
from legacy_adapters.tables import rows
from tests.fault_site import FaultSite, fault_site, proxy_to, site_environment
from tests.migrating import MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from funnel.simulation import Simulation
    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer

SECRET: Final = "the old shop's own secret without a comma"
"""What its cookie is signed with: a comma would make two of it in the environment."""
MIGRATION: Final[dict[str, Any]] = {
    "STAGE_CACHE_SECONDS": 0.1,
    "PROCESS_TIMEOUT_SECONDS": 2,
    "RECHECK_SECONDS": 0.5,
    "MIN_COMPARISONS": 20,
    "PARITY_THRESHOLD": 0.8,
    "UNLISTED_LIFE_SECONDS": {"cookie": 1, "memory_cache": 1, "local_storage": 1},
    "DEMOTE_AFTER_ERRORS": 100_000,  # what is broken here is to be come through, not left
    "DEMOTE_LATENCY_RATIO": 0,
    "REPAIR_DELAY_SECONDS": 0.5,
    "REPAIR_BACKOFF_SECONDS": 0.2,
    "REPAIR_MAX_ATTEMPTS": 100,
}
"""Figures at which a journey takes a minute, not a week."""

SETTINGS: Final[dict[str, Any]] = {
    "SESSIONS_UNIFIED": {
        "MANAGER": MANAGER,
        "STALENESS_BOUND_SECONDS": 2,
        "HEARTBEAT_SECONDS": 0.2,
        "HEARTBEAT_TIMEOUT_SECONDS": 1,
        "BREAKER_RESET_SECONDS": 0.5,
        "WATCH_SECONDS": 0.2,
    },
    "POOL": {"timeout": 2, "max_size": 8},
    "FUNNEL": {
        "DECLINES_PER_ADDRESS": 0,
        "DECLINES_PER_CARD": 0,
        "CHECK_SECONDS": 0.2,
        "CHECK_LONGEST_SECONDS": 1,
    },
    "MIGRATION": MIGRATION,
    "BEAT": {"legacy_adapters.repair_marked": 0.5, "funnel.ask_gateway": 1},
}


@dataclass(kw_only=True)
class Program:
    """A process that serves nobody: it works by itself, and may be killed."""

    child: Child
    log: Path

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.child.start(output=output)

    def show_log(self) -> None:
        print(f"--- {self.child.name}\n{self.log.read_text(errors='replace')[-8_000:]}")


@dataclass(kw_only=True)
class Shop:
    """The processes, and the ways between them that faults take hold of.

    Attributes:
        legacy: everybody's way to the old shop's database.
        happened: what befell the shop, counted.

    """

    sites: list[FaultSite]
    worker: Program
    beat: Program
    legacy: FaultProxy
    redis: OwnServer
    happened: Counter[str] = field(default_factory=Counter)

    # Faults

    def kill_web(self, number: int) -> None:
        """SIGKILL what serves at one address; gunicorn starts others."""
        self.happened["web process killed"] += 1
        self.sites[number].kill_workers()

    def kill_worker(self) -> None:
        """SIGKILL the worker, whatever it repairs, and start another."""
        self.happened["worker killed"] += 1
        self.worker.child.kill()
        self.worker.start()

    def kill_worker_repairing(self) -> None:
        """SIGKILL the worker while sessions are in its hands that it has not repaired."""
        before = last_claim()
        with self.no_legacy():
            wait_for(lambda: last_claim() > before)
            self.happened["of these repairing"] += 1
            self.kill_worker()

    @contextmanager
    def no_legacy(self) -> Iterator[None]:
        """Cut everybody off from the old shop's database."""
        self.happened["legacy database cut off"] += 1
        self.legacy.refuse()
        try:
            yield
        finally:
            self.legacy.pass_on()

    @contextmanager
    def no_unified(self) -> Iterator[None]:
        """Cut the web processes off from our own database."""
        self.happened["unified database cut off"] += 1
        for site in self.sites:
            site.database.refuse()
        try:
            yield
        finally:
            for site in self.sites:
                site.database.pass_on()

    def lose_redis(self) -> None:
        """Kill Redis with all that it holds, and start an empty one."""
        self.happened["Redis lost"] += 1
        self.redis.kill()
        self.redis.start()


@contextmanager
def running_shop(
    records: Path, *, redis: OwnServer, database_url: str, legacy_url: str
) -> Iterator[Shop]:
    """Run the shop."""
    with ExitStack() as stack:
        legacy = stack.enter_context(proxy_to(legacy_url))
        env = {
            "DJANGO_SETTINGS_MODULE": "tests.migration_settings",
            "LEGACY_DATABASE_URL": legacy.url(legacy_url),
            "LEGACY_COOKIE_SECRETS": SECRET,
            "SYNCS_PER_MINUTE": "100000",
            "INSECURE_HTTP": "1",
            "LOG_LEVEL": "ERROR",
        }
        urls = {"redis_url": redis.url, "database_url": database_url, "settings": SETTINGS}
        sites = [
            stack.enter_context(fault_site(records, threads=6, **urls, **env)) for _ in range(2)
        ]
        worker, beat = (
            stack.enter_context(_program(records, name, argv, site_environment(**urls, **env)))
            for name, argv in {
                "worker": [*programs.worker(), "--concurrency", "1"],
                "beat": [*programs.beat(directory=records), "--max-interval", "1"],
            }.items()
        )
        yield Shop(sites=sites, worker=worker, beat=beat, legacy=legacy, redis=redis)


@contextmanager
def _program(
    records: Path, name: str, argv: Sequence[str], env: dict[str, str]
) -> Iterator[Program]:
    child = Child(name=name, argv=argv, records=records, env=env)
    program = Program(child=child, log=records / f"{name}.log")
    program.start()
    try:
        yield program
    finally:
        child.kill()
        program.show_log()


@dataclass(kw_only=True)
class Shoppers:
    """They come at a steady rate, in a thread of their own, until they are told to stop."""

    simulation: Simulation

    def __enter__(self) -> Self:
        self.simulation.closed.clear()
        self._thread = threading.Thread(target=self.simulation.run, name="shoppers")
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Let nobody new in, and those who are inside finish."""
        self.simulation.closed.set()
        self._thread.join()

    def be_served(self, requests: int = 40) -> None:
        """Wait until so many more requests were answered."""
        served = self._served
        wait_for(lambda: self._served - served >= requests)

    @property
    def _served(self) -> int:
        answers = self.simulation.tally.answers
        return answers["2xx"] + answers["4xx"]


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def last_claim() -> datetime:
    """Return until when a worker has taken a session for itself at most; before that: now.

    None other waits for as long.
    """
    soon = timezone.now() + timedelta(seconds=LEASE_SECONDS / 2)
    waiting = rows(WriteMark).filter(due_at__gt=soon).order_by("-due_at")
    return waiting.values_list("due_at", flat=True).first() or soon

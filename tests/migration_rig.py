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
    from random import Random

    from funnel.simulation import Simulation
    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer

SECRET: Final = "the old shop's own secret without a comma"
"""What its cookie is signed with: a comma would make two of it in the environment."""
MIGRATION: Final[dict[str, Any]] = {
    "STAGE_CACHE_SECONDS": 0.1,
    "PROCESS_TIMEOUT_SECONDS": 2,
    "RECHECK_SECONDS": 0.5,
    "MIN_COMPARISONS": 12,  # one less than that, and the threshold could not be proven
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
        "LEASE_SECONDS": 6,  # of a charge whose process was killed; the sandbox may take five
    },
    "MIGRATION": MIGRATION,
    "BEAT": {"legacy_adapters.repair_marked": 0.5, "funnel.ask_gateway": 1},
}


@dataclass(kw_only=True)
class Program:
    """A process that serves nobody, and may be killed; one that ends by itself is started anew.

    As compose does: Celery's worker ends if Redis is lost while it acknowledges a task.
    """

    child: Child
    log: Path
    ends: int = 0

    def __enter__(self) -> Self:
        self._turn, self._closed = threading.Lock(), threading.Event()
        self._start()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {self.child.name}")
        self._keeper.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._closed.set()
        self._keeper.join()
        self.child.kill()
        print(f"--- {self.child.name}\n{self.log.read_text(errors='replace')[-8_000:]}")

    def kill(self) -> None:
        """SIGKILL it and all that it started; start another."""
        with self._turn:
            self.child.kill()
            self._start()

    def _start(self) -> None:
        with self.log.open("ab") as output:
            self.child.start(output=output)

    def _keep(self) -> None:
        while not self._closed.wait(0.2):
            with self._turn:
                if not self.child.is_running:
                    self.ends += 1
                    self.child.kill()  # what it leaves of its own
                    self._start()


@dataclass(kw_only=True)
class Shop:
    """The processes, and the ways between them that faults take hold of.

    Attributes:
        legacy: everybody's way to the old shop's database.
        unified: the ways to our own.
        happened: what befell the shop, counted.
        outages: when our own database was cut off, from and to.

    """

    sites: list[FaultSite]
    worker: Program
    legacy: FaultProxy
    unified: list[FaultProxy]
    redis: OwnServer
    happened: Counter[str] = field(default_factory=Counter)
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)

    def kill_web(self, number: int) -> None:
        """SIGKILL what serves at one address, in the midst of writes; gunicorn starts others."""
        self.happened["web process killed"] += 1
        with self.slow_legacy():  # the writes are on one side alone for a while
            time.sleep(0.5)
            self.sites[number].kill_workers()

    def kill_worker(self) -> None:
        """SIGKILL the worker, whatever it repairs, and start another."""
        self.happened["worker killed"] += 1
        self.worker.kill()

    def kill_worker_repairing(self, random: Random, *, seconds: float = 5) -> int:
        """SIGKILL the worker in the midst of a repair; return how many sessions it leaves so.

        None if it came to none for so long: it may not for a while after Redis was lost.
        """
        began = timezone.now()
        with self.no_legacy():
            is_there = happens(rows(WriteMark).filter(marked_at__gte=began).exists, seconds)
        with self.slow_legacy():
            if is_there and happens(lambda: taken_since(began), seconds):
                time.sleep(random.uniform(0, 0.8))
            self.kill_worker()
        left = taken_since(began)
        self.happened["sessions it was to repair"] += left
        return left

    @contextmanager
    def no_legacy(self) -> Iterator[None]:
        """Cut everybody off from the old shop's database."""
        self.happened["legacy database cut off"] += 1
        self.legacy.hang()
        time.sleep(0.3)  # commits are under way that never arrive
        self.legacy.refuse()
        try:
            yield
        finally:
            self.legacy.pass_on()

    @contextmanager
    def slow_legacy(self) -> Iterator[None]:
        """Hold back each of its answers, so that whatever is done there takes a second or two."""
        self.legacy.delay(0.15, 0.1)
        try:
            yield
        finally:
            self.legacy.pass_on()

    @contextmanager
    def no_unified(self) -> Iterator[None]:
        """Cut the shop off from our own database."""
        self.happened["unified database cut off"] += 1
        began = timezone.now()
        for each in self.unified:
            each.refuse()
        try:
            yield
        finally:
            for each in self.unified:
                each.pass_on()
            self.outages.append((began, timezone.now()))

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
        urls = {"redis_url": redis.url, "settings": SETTINGS}
        unified = stack.enter_context(proxy_to(database_url))
        own = site_environment(database_url=unified.url(database_url), **urls, **env)
        worker, _ = (
            stack.enter_context(_program(records, name, argv, own))
            for name, argv in {
                "worker": programs.worker(),
                "beat": [*programs.beat(directory=records), "--max-interval", "1"],
            }.items()
        )
        urls["database_url"] = database_url
        sites = [
            stack.enter_context(fault_site(records, threads=6, **urls, **env)) for _ in range(2)
        ]
        yield Shop(
            sites=sites,
            worker=worker,
            legacy=legacy,
            unified=[unified, *(site.database for site in sites)],
            redis=redis,
        )


def _program(records: Path, name: str, argv: Sequence[str], env: dict[str, str]) -> Program:
    child = Child(name=name, argv=argv, records=records, env=env)
    return Program(child=child, log=records / f"{name}.log")


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


def wait_for(condition: Callable[[], object]) -> None:
    assert happens(condition, 60), condition


def happens(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for it for so long; tell whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def taken_since(began: datetime) -> int:
    """Return how many marks a worker has taken since then that are neither repaired nor put off.

    Nothing else puts off one for as long.
    """
    leased = began + timedelta(seconds=LEASE_SECONDS)
    return rows(WriteMark).filter(due_at__gte=leased).count()

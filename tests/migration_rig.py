"""A live shop that is being moved: its processes, its shoppers, and what befalls them.

Two web processes, Celery's worker and its beat stand behind proxies to Redis, to our database and
to the old shop's. The test's own process is the operator's.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from django.core.management import call_command
from django.db.models import Count

from funnel.local import programs
from funnel.local.child import Child
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration import operating
from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import WriteMark
from sessions_unified.tiers import get_tiers
from tests.fault_site import FaultSite, fault_site, proxy_to, site_environment
from tests.migrating import MANAGER, SECRET, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from funnel.simulation import Simulation
    from legacy_adapters.migration.operating import EndpointStatus
    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer

State = ChargeAttempt.State
ACTOR: Final = "tester"
REASON: Final = "a journey"
MIGRATION: Final[dict[str, Any]] = {
    "STAGE_CACHE_SECONDS": 0.1,
    "PROCESS_TIMEOUT_SECONDS": 2,
    "RECHECK_SECONDS": 0.5,
    "MIN_COMPARISONS": 2,
    "PARITY_THRESHOLD": 0.2,
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


class Operator:
    """Moves the endpoints by the same door as the commands, when the gates let them."""

    def __init__(self, *, patience_seconds: float = 60) -> None:
        self.moves = 0
        self.shut: Counter[str] = Counter()
        self._patience_seconds = patience_seconds

    def advance(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        """Go on to a stage as soon as its gates open."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                operating.advance(
                    get_tiers(),
                    endpoint,
                    stage=stage,
                    percent=percent,
                    actor=ACTOR,
                    reason=REASON,
                )
            except GatesShutError as exc:
                self.shut.update(each.name for each in exc.gates)
                if time.monotonic() > deadline:
                    raise
            except operating.MovingTimeoutError:
                self.shut["writes under way"] += 1
            else:
                self.moves += 1
                return
            time.sleep(0.1)

    def advance_all(self, stage: Stage, *, but: Endpoint | None = None) -> None:
        for endpoint in Endpoint:
            if endpoint is not but:
                self.advance(endpoint, stage=stage)

    def rollback(self, endpoint: Endpoint, *, stage: Stage, percent: float = 100) -> None:
        operating.rollback(
            get_tiers(), endpoint, stage=stage, percent=percent, actor=ACTOR, reason=REASON
        )
        self.moves += 1

    def rollback_all(self, stage: Stage) -> None:
        """Bring back those that have not come along with another yet."""
        for endpoint in Endpoint:
            if self.status(endpoint).stage.rank > stage.rank:
                self.rollback(endpoint, stage=stage)

    @staticmethod
    def status(endpoint: Endpoint) -> EndpointStatus:
        return next(each for each in operating.statuses(get_tiers()) if each.endpoint == endpoint)

    @staticmethod
    def backfill(*, is_catch_up: bool = False) -> None:
        given = {"catch_up": True} if is_catch_up else {}
        call_command("backfill_sessions", source="database", verbosity=0, **given)


@dataclass(kw_only=True)
class Shoppers:
    """They come at a steady rate, in a thread of their own, until they are told to stop."""

    simulation: Simulation
    _is_closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._come, name="shoppers")
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Let nobody new in, and those who are inside finish."""
        self._is_closing.set()
        self._thread.join()

    def _come(self) -> None:
        while not self._is_closing.is_set():
            self.simulation.run(seconds=3)


def undone() -> list[str]:
    """Return what waits for a repair, and the charges that wait for their outcome."""
    marks = WriteMark.objects.values_list("session_id", "side", "attempts", "is_dead", "problem")
    charges = ChargeAttempt.objects.filter(state__in=[State.CLAIMED, State.UNKNOWN])
    found = [f"marked: {each}" for each in marks]
    return found + [f"{each.session_id}: {each.purpose} is {each.state}" for each in charges]


def wait_until_drained(*, seconds: float = 30) -> None:
    """Wait until the worker has repaired everything, and knows what became of each charge."""
    deadline = time.monotonic() + seconds
    while left := undone():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def money_problems() -> list[str]:
    """Return what the sandbox charged and the shop does not stand by, or charged twice."""
    attempts = ChargeAttempt.objects.all()
    taken = attempts.filter(state=State.SUCCEEDED).values("session_id", "purpose")
    twice = taken.annotate(times=Count("pk")).filter(times__gt=1)
    found = [
        f"{each['session_id']} paid {each['times']} times: {each['purpose']}" for each in twice
    ]
    booked = {each.gateway_order_id: each for each in attempts}
    paid = {(each["session_id"], each["purpose"]) for each in taken}
    for charge in SandboxCharge.objects.all():
        attempt = booked.get(charge.order_id)
        state = None if attempt is None else attempt.state
        # Of a session that was deleted or over meanwhile; staff are shown it, to give it back.
        if attempt is not None and state == State.SURPLUS:
            is_known = (attempt.session_id, attempt.purpose) not in paid
        else:
            is_known = state in {State.SUCCEEDED, State.VOIDED, State.REFUNDED}
        if not is_known:
            found.append(f"{charge.order_id} was charged, and is {state}")
    charged = set(SandboxCharge.objects.values_list("order_id", flat=True))
    sold = attempts.filter(state=State.SUCCEEDED).exclude(gateway="imported")
    missing = set(sold.values_list("gateway_order_id", flat=True)) - charged
    return found + [f"{each} is taken for paid, and was not charged" for each in missing]


def disagreements(session_ids: Sequence[str]) -> list[str]:
    """Return the sessions of which the two sides do not say the same."""
    tiers, adapter, found = get_tiers(), table(), []
    for session_id in session_ids:
        record, copy = adapter.peek(session_id), tiers.database.peek(session_id)
        if record is None or copy is None:
            if (record is None) is not (copy is None):
                found.append(f"{session_id}: only {'unified' if record is None else 'legacy'}")
            continue
        there, now = adapter.to_unified(record), tiers.clock.now()
        fields = differing(there, copy.session, fields=adapter.fields, now=now)
        found += [f"{session_id}: {', '.join(fields)}"] if fields else []
    return found

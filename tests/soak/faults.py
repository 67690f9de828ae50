"""The faults, each a context: broken inside it, and mended when it is left."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
import redis

from tests.fault_servers import OwnServer
from tests.soak.rig import kill_server, send, server_processes

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import psutil

    from tests.soak.rig import Program, Rig

    # Given the deployment, and what chooses where there is a choice.
    Inject = Callable[[Rig, random.Random], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        area: what is broken: redis, database, web, relay or worker.
        seconds: how long it lasts.
        inject: breaks and mends.

    """

    area: str
    seconds: float
    inject: Inject


def way(server: str, fault: str, *given: float) -> Inject:
    """Break everybody's way to ``redis`` or ``database``, by a method of `FaultProxy`."""

    @contextmanager
    def inject(rig: Rig, chooser: random.Random) -> Iterator[None]:
        for proxy in rig.proxies(server):
            getattr(proxy, fault)(*given)
        try:
            yield
        finally:
            for proxy in rig.proxies(server):
                proxy.pass_on()

    return inject


def down(server: str, take: Callable[[OwnServer], None]) -> Inject:
    """Take ``postgres`` or ``valkey`` down, and start it again: Valkey comes back empty."""

    @contextmanager
    def inject(rig: Rig, chooser: random.Random) -> Iterator[None]:
        own: OwnServer = getattr(rig, server)
        take(own)
        try:
            yield
        finally:
            own.start()

    return inject


def frozen(server: str) -> Inject:
    """SIGSTOP a server: its kernel still accepts connections."""

    @contextmanager
    def inject(rig: Rig, chooser: random.Random) -> Iterator[None]:
        with _stopped(server_processes(getattr(rig, server))):
            yield

    return inject


def program_killed(name: str) -> Inject:
    """SIGKILL the relay or the worker, and start it again."""

    @contextmanager
    def inject(rig: Rig, chooser: random.Random) -> Iterator[None]:
        program: Program = getattr(rig, name)
        program.child.kill()
        try:
            yield
        finally:
            program.start()

    return inject


def both(first: Inject, second: Inject) -> Inject:
    """Break one thing, then another while it lasts."""

    @contextmanager
    def inject(rig: Rig, chooser: random.Random) -> Iterator[None]:
        with first(rig, chooser), second(rig, chooser):
            yield

    return inject


@contextmanager
def redis_flushed(rig: Rig, chooser: random.Random) -> Iterator[None]:
    with redis.Redis.from_url(rig.valkey.url) as client:
        client.flushall()
        yield
        client.flushall()


@contextmanager
def database_read_only(rig: Rig, chooser: random.Random) -> Iterator[None]:
    # What a standby answers before it is promoted; ourselves excepted.
    options = "-c default_transaction_read_only=off"
    with psycopg.connect(rig.postgres.url, autocommit=True, options=options) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def cut_off(rig: Rig, chooser: random.Random) -> Iterator[None]:
    site = chooser.choice(rig.sites)
    chooser.choice((site.redis.refuse, site.redis.hang))()
    try:
        yield
    finally:
        site.redis.pass_on()


@contextmanager
def web_worker_killed(rig: Rig, chooser: random.Random) -> Iterator[None]:
    site = chooser.choice(rig.mortal)
    site.kill_workers()
    yield
    site.wait_until_up()


@contextmanager
def web_process_killed(rig: Rig, chooser: random.Random) -> Iterator[None]:
    site = chooser.choice(rig.mortal)
    site.child.kill()
    try:
        yield
    finally:
        with site.log.open("ab") as output:
            site.child.start(output=output)
    site.wait_until_up()


@contextmanager
def web_process_frozen(rig: Rig, chooser: random.Random) -> Iterator[None]:
    number = chooser.randrange(len(rig.sites))
    with _stopped(rig.roles()[f"web {number}"]):
        yield


@contextmanager
def relay_frozen(rig: Rig, chooser: random.Random) -> Iterator[None]:
    with _stopped(rig.roles()["relay"]):
        yield


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    send(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        send(processes, signal.SIGCONT)


FAULTS: Final = {
    "Redis refuses": Fault("redis", 7, way("redis", "refuse")),
    "Redis resets": Fault("redis", 5, way("redis", "reset")),
    "Redis hangs": Fault("redis", 7, way("redis", "hang")),
    "Redis takes commands, never answers": Fault("redis", 5, way("redis", "mute")),
    "Redis answers after 200 ± 50 ms": Fault("redis", 7, way("redis", "delay", 0.2, 0.05)),
    "Redis SIGSTOPped": Fault("redis", 5, frozen("valkey")),
    "Redis flushed (FLUSHALL)": Fault("redis", 3, redis_flushed),
    "Redis SIGKILLed, back empty": Fault("redis", 3, down("valkey", kill_server)),
    "one process cut off from Redis": Fault("redis", 10, cut_off),
    "the same, relay dead too": Fault("redis", 10, both(cut_off, program_killed("relay"))),
    "database restarted": Fault("database", 2, down("postgres", OwnServer.stop)),
    "database SIGKILLed": Fault("database", 2, down("postgres", kill_server)),
    "database hangs": Fault("database", 4, way("database", "hang")),
    "database SIGSTOPped": Fault("database", 4, frozen("postgres")),
    "database answers after 100 ± 30 ms": Fault("database", 6, way("database", "delay", 0.1, 0.03)),
    "database read-only": Fault("database", 5, database_read_only),
    "Redis and database hang": Fault(
        "database", 4, both(way("redis", "hang"), way("database", "hang"))
    ),
    "web worker SIGKILLed": Fault("web", 3, web_worker_killed),
    "web process SIGKILLed": Fault("web", 3, web_process_killed),
    "web process SIGSTOPped": Fault("web", 4, web_process_frozen),
    "relay SIGKILLed": Fault("relay", 5, program_killed("relay")),
    "relay SIGSTOPped": Fault("relay", 6, relay_frozen),
    "Celery worker SIGKILLed": Fault("worker", 4, program_killed("worker")),
}
"""What it is called in the tables → the fault."""

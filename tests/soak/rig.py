"""A whole deployment to be broken: servers, four web processes, relay, worker and beat.

Every process reaches Redis and PostgreSQL through proxies of its own.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.postgres import Postgres
from tests.fault_servers import OwnServer, migrate, own_valkey
from tests.fault_site import FaultSite, fault_site, proxy_to, site_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.fault_proxy import FaultProxy

NODES: Final = 4
KILL_SECONDS: Final = 10
SETTINGS: Final = {
    "DJANGO_SETTINGS_MODULE": "tests.soak.settings",
    "WATCH_SECONDS": "5",
    "LOG_LEVEL": "ERROR",
}


@dataclass(kw_only=True)
class Program:
    """A process of the site that serves no shoppers, behind its proxies."""

    child: Child
    redis: FaultProxy
    database: FaultProxy
    log: Path

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.child.start(output=output)


@dataclass(kw_only=True)
class Rig:
    """All of it, and what faults need to take hold of."""

    postgres: OwnServer
    valkey: OwnServer
    sites: list[FaultSite]
    relay: Program
    worker: Program
    beat: Program
    metrics: Path

    def proxies(self, server: str) -> list[FaultProxy]:
        """Return everybody's way to ``redis`` or ``database``."""
        return [getattr(each, server) for each in (*self.sites, self.relay, self.worker, self.beat)]

    @property
    def mortal(self) -> list[FaultSite]:
        """The web processes that may be killed; the others tell how memory grows."""
        return self.sites[NODES // 2 :]

    def roles(self) -> dict[str, list[psutil.Process]]:
        """Return who is what now."""
        found = {f"web {number}": _family(site.child)[1:] for number, site in enumerate(self.sites)}
        found |= {
            "relay": _family(self.relay.child),
            "worker": _family(self.worker.child),
            "beat": _family(self.beat.child),
            "Valkey": _family(self.valkey.child),
        }
        return found


@contextmanager
def running_rig(directory: Path) -> Iterator[Rig]:
    """Run everything; all of it is stopped afterwards, whatever state it is in."""
    metrics = directory / "metrics"
    metrics.mkdir()
    with ExitStack() as stack:
        postgres = stack.enter_context(durable_postgres(directory / "postgres"))
        valkey = stack.enter_context(own_valkey(directory / "valkey"))
        env = SETTINGS | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        sites = [
            stack.enter_context(
                fault_site(
                    directory,
                    redis_url=valkey.url,
                    database_url=postgres.url,
                    settings={},
                    **env,
                )
            )
            for _ in range(NODES)
        ]
        relay, worker, beat = (
            stack.enter_context(_program(directory, name, argv, valkey, postgres, env))
            for name, argv in {
                "relay": programs.relay(),
                "worker": programs.worker(),
                "beat": programs.beat(directory=directory),
            }.items()
        )
        rig = Rig(
            postgres=postgres,
            valkey=valkey,
            sites=sites,
            relay=relay,
            worker=worker,
            beat=beat,
            metrics=metrics,
        )
        stack.callback(_thaw_all, rig)
        yield rig


@contextmanager
def durable_postgres(directory: Path) -> Iterator[OwnServer]:
    """Run a PostgreSQL that loses nothing that it has acknowledged: it will be killed."""
    directory.mkdir()
    server = Postgres(directory, durable=True)
    server.prepare()
    own = OwnServer(server).start()
    try:
        migrate(own.url)
        yield own
    finally:
        own.stop()


@contextmanager
def _program(
    directory: Path,
    name: str,
    argv: Sequence[str],
    valkey: OwnServer,
    postgres: OwnServer,
    env: dict[str, str],
) -> Iterator[Program]:
    with proxy_to(valkey.url) as redis, proxy_to(postgres.url) as database:
        environment = site_environment(
            redis_url=redis.url(valkey.url),
            database_url=database.url(postgres.url),
            settings={},
            **env,
        )
        child = Child(name=name, argv=argv, records=directory, env=environment)
        program = Program(
            child=child, redis=redis, database=database, log=directory / f"{name}.log"
        )
        program.start()
        try:
            yield program
        finally:
            redis.pass_on()
            database.pass_on()
            child.stop()


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that still are; some of a server's end by themselves."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def server_processes(own: OwnServer) -> list[psutil.Process]:
    """Return a server's processes, the parent first."""
    return _family(own.child)


def kill_server(own: OwnServer) -> None:
    """SIGKILL all of it at once, and wait until its memory is nobody's."""
    processes = server_processes(own)
    send(processes, signal.SIGKILL)
    own.child.kill()
    # What PostgreSQL's parent leaves is nobody's child here, and may stay a zombie.
    deadline = time.monotonic() + KILL_SECONDS
    while any(_is_running(process) for process in processes):
        assert time.monotonic() < deadline, f"{own.server.title} cannot be killed"
        time.sleep(0.02)


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _family(child: Child) -> list[psutil.Process]:
    if child.process is None:
        return []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(child.process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _thaw_all(rig: Rig) -> None:
    children = [each.child for each in (*rig.sites, rig.relay, rig.worker, rig.beat)]
    for child in (*children, rig.postgres.child, rig.valkey.child):
        send(_family(child), signal.SIGCONT)

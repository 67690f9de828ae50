"""PostgreSQL and Valkey servers of a test's own: to be stopped, killed, restarted and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import psutil
import psycopg
import redis

from funnel.local.ports import LOOPBACK, free_port
from funnel.local.postgres import Postgres
from funnel.local.private_files import write_private
from funnel.local.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from funnel.local.child import Child
    from funnel.local.server import Server

START_SECONDS = 120
PASSWORD = "one-for-all-servers-of-a-test"


class OwnServer:
    """A server on a port that it keeps, with what can happen to its process."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = free_port()
        self.child: Child = server.child(self.port)

    @property
    def target(self) -> tuple[str, int]:
        """Return where it listens, for a proxy."""
        return LOOPBACK, self.port

    @property
    def url(self) -> str:
        return self.server.url(self.port)

    def start(self) -> Self:
        """Start the process, on what data there is, and wait until it answers."""
        with (self.server.directory / "output.log").open("ab") as log:
            self.child.start(output=log)
        deadline = time.monotonic() + START_SECONDS
        while not self.server.answers(self.port):
            assert self.child.is_running, f"{self.server.title} ended"
            assert time.monotonic() < deadline, f"{self.server.title} did not start"
            time.sleep(0.02)
        return self

    def freeze(self) -> None:
        """Stop every process of it in its tracks: the kernel still accepts connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL all of it: nothing is flushed or said."""
        self._signal(signal.SIGKILL)
        self.child.kill()

    def stop(self) -> None:
        if self.child.is_running:
            self.thaw()
        self.child.stop()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a server's children come and go
                process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        assert self.child.process is not None
        parent = psutil.Process(self.child.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def own_valkey(directory: Path) -> Iterator[OwnServer]:
    """Run a Valkey whose password is every other one's too."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / "valkey.password", PASSWORD)
    server = Valkey(directory, durable=False)
    server.prepare()
    own = OwnServer(server).start()
    try:
        yield own
    finally:
        own.stop()


def replicate(replica: OwnServer, of: OwnServer) -> redis.Redis:
    """Make ``replica`` follow, wait until it has everything, and return its client."""
    with redis.Redis.from_url(of.url) as primary:
        primary.config_set("repl-diskless-sync-delay", 0)
    client = redis.Redis.from_url(replica.url)
    client.config_set("masterauth", PASSWORD)
    client.replicaof(LOOPBACK, str(of.port))
    deadline = time.monotonic() + START_SECONDS
    while client.info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.02)
    return client


@contextmanager
def own_postgres(directory: Path) -> Iterator[OwnServer]:
    """Run a PostgreSQL with the site's tables in it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / "postgres.password", PASSWORD)
    server = Postgres(directory, durable=False)
    server.prepare()
    own = OwnServer(server).start()
    try:
        with psycopg.connect(own.url, autocommit=True) as connection:
            # Stronger than the command line's "off": what was committed survives SIGKILL.
            connection.execute("ALTER ROLE postgres SET synchronous_commit = on")
        migrate(own.url)
        yield own
    finally:
        own.stop()


def migrate(url: str) -> None:
    """Make the site's tables in the database at ``url``."""
    env = os.environ | {"DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], env=env, check=True
    )


@contextmanager
def standby(directory: Path, of: OwnServer) -> Iterator[OwnServer]:
    """Run a hot standby of a PostgreSQL: it answers reads, and refuses writes until promoted."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / "postgres.password", PASSWORD)
    server = Postgres(directory, durable=False)
    _copy_of(of, server)
    own = OwnServer(server).start()
    try:
        yield own
    finally:
        own.stop()


def _copy_of(primary: OwnServer, server: Postgres) -> None:
    url = server.url(primary.port, database="postgres")
    done = subprocess.run(
        [
            *(str(server.programs / "pg_basebackup"), "--pgdata", str(server.data)),
            *("--dbname", url, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if server.account:
        subprocess.run(["chown", "-R", server.account, str(server.data)], check=True)


def promote(own: OwnServer) -> None:
    """Make a standby the primary, and wait until it is."""
    with psycopg.connect(own.url, autocommit=True) as connection:
        connection.execute("SELECT pg_promote(wait => true)")

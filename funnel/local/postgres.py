"""A PostgreSQL server of our own, for the demo and the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from funnel.local.binaries import open_path_to_others, open_to_others, postgres_programs
from funnel.local.child import Child
from funnel.local.exceptions import LocalError, ServerStartError
from funnel.local.ports import LOOPBACK
from funnel.local.private_files import kept_secret, write_private
from funnel.local.server import Server

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "pgserver"
"""PostgreSQL refuses to run as root; there it runs under this account."""
DATABASE = "funnel"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # below a deep checkout the path would be too long for one
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""A power cut would corrupt such a database: for tests, which begin with an empty one."""


class Postgres(Server):
    """A server with one database in it.

    Attributes:
        durable: keep the data between runs, and through a power cut. Otherwise every start
            begins with an empty database.

    """

    name = "postgres"
    title = "PostgreSQL"

    def __init__(self, directory: Path, *, durable: bool) -> None:
        super().__init__(directory)
        self.durable = durable
        self.programs = postgres_programs()
        self.account = _account() if os.geteuid() == 0 else None
        self.data = self.directory / "postgres"

    def prepare(self) -> None:
        """Make the data directory, unless it is there and to be kept."""
        if self.account:
            open_to_others(self.programs)
            open_path_to_others(self.data)
        if not self.durable:
            shutil.rmtree(self.data, ignore_errors=True)
        if not self.data.exists():
            self._initdb()

    def child(self, port: int) -> Child:
        """Return its process for that port, not started."""
        settings = SETTINGS | ({} if self.durable else FAST_AND_FORGETFUL) | {"port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Child(
            name=self.name,
            argv=[str(self.programs / "postgres"), "-D", str(self.data), *options],
            records=self.directory,
            env=os.environ | {"LC_ALL": "C"},  # the log says what `Server` looks for
            user=self.account,
            stop_signal=signal.SIGINT,  # the fast shutdown: it doesn't wait for clients to leave
            stop_seconds=30,
        )

    def answers(self, port: int) -> bool:
        """Tell whether it serves; the database is made as soon as it does."""
        try:
            connection = psycopg.connect(
                self.url(port, database="postgres"), autocommit=True, connect_timeout=2
            )
        except psycopg.OperationalError:
            return False
        with connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        return True

    def url(self, port: int, database: str = DATABASE) -> str:
        """Return the URL that clients use, with the password in it."""
        return f"postgresql://postgres:{self._password}@{LOOPBACK}:{port}/{database}"

    @property
    def _password(self) -> str:
        return kept_secret(self.directory / "postgres.password")

    def _initdb(self) -> None:
        # Made beside its place and moved there: an interrupted start leaves nothing half-made.
        draft = self.data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.directory / "postgres.initial-password"
        write_private(password, self._password)
        if self.account:
            shutil.chown(draft, self.account)
            shutil.chown(password, self.account)
        done = subprocess.run(
            [
                *(str(self.programs / "initdb"), "--pgdata", str(draft), "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--username=postgres", "--auth=scram-sha-256", "--pwfile", str(password)),
                *([] if self.durable else ["--no-sync"]),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.directory,
            text=True,
            user=self.account,
            group=pwd.getpwnam(self.account).pw_gid if self.account else None,
            extra_groups=[] if self.account else None,
            start_new_session=True,
        )
        password.unlink()
        if done.returncode:
            raise ServerStartError(f"PostgreSQL's initdb failed:\n{done.stderr.strip()}")
        draft.rename(self.data)


def _account() -> str:
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        try:
            subprocess.run(
                ["useradd", "--system", "--shell", "/usr/sbin/nologin", ACCOUNT],
                check=True,
                capture_output=True,
            )
        except (FileNotFoundError, subprocess.CalledProcessError) as exc:
            raise LocalError(
                f"PostgreSQL doesn't run as root, and the account {ACCOUNT} for it could not be "
                "made. Run as an ordinary user, or set DATABASE_URL."
            ) from exc
    return ACCOUNT

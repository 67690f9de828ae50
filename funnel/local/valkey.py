"""A Valkey server of our own (it speaks Redis' protocol), for the demo and the tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from funnel.local.binaries import redis_program
from funnel.local.child import Child
from funnel.local.ports import LOOPBACK
from funnel.local.private_files import kept_secret, write_private
from funnel.local.server import Server

if TYPE_CHECKING:
    from pathlib import Path

DATABASES = 32


class Valkey(Server):
    """A server with a password.

    Attributes:
        durable: keep the data between runs: the demo's Celery queue is in it.

    """

    name = "valkey"
    title = "Valkey"

    def __init__(self, directory: Path, *, durable: bool) -> None:
        super().__init__(directory)
        self.durable = durable
        self.program = redis_program()
        self.data = self.directory / "valkey"

    def prepare(self) -> None:
        """Make the data directory."""
        self.data.mkdir(exist_ok=True)

    def child(self, port: int) -> Child:
        """Return its process for that port, not started, and write the configuration it reads."""
        configuration = self.directory / "valkey.conf"
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "dir": f'"{self.data}"',
            "requirepass": self._password,
            "databases": str(DATABASES),
            "appendonly": "yes" if self.durable else "no",
            "save": '""',
        }
        # In a file, not as arguments: everybody can list those.
        write_private(configuration, "".join(f"{key} {val}\n" for key, val in settings.items()))
        return Child(
            name=self.name,
            argv=[str(self.program), str(configuration)],
            records=self.directory,
            env=os.environ | {"LC_ALL": "C"},  # the log says what `Server` looks for
        )

    def answers(self, port: int) -> bool:
        """Tell whether it serves there by now."""
        # The caller asks again soon; the client's own retries would wait for seconds.
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url(port), socket_timeout=2, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # not there yet, or loading its data
                return False

    def url(self, port: int) -> str:
        """Return the URL that clients use, with the password in it."""
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"

    @property
    def _password(self) -> str:
        return kept_secret(self.directory / "valkey.password")

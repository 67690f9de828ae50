"""The servers that the site needs: those that the environment names, else servers of our own."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from funnel.local.postgres import Postgres
from funnel.local.steps import Say, silent
from funnel.local.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from funnel.local.child import Child
    from funnel.local.server import Server


@dataclass(frozen=True, kw_only=True)
class Services:
    """Where the site finds its servers.

    Attributes:
        database_url: a PostgreSQL database.
        redis_url: a server that speaks Redis' protocol.
        processes: those of the two that are ours.

    """

    database_url: str
    redis_url: str
    processes: tuple[Child, ...] = ()


@contextmanager
def running_services(data_dir: Path, *, durable: bool, say: Say = silent) -> Iterator[Services]:
    """Run what ``DATABASE_URL`` and ``REDIS_URL`` don't name, until the block ends.

    The caller holds ``data_dir`` (`funnel.local.lock.locked`).

    Args:
        data_dir: where our servers keep their data, logs and passwords.
        durable: keep the data between runs; otherwise they are fast and start empty.
        say: is told what is being done.

    Raises:
        ServerMissingError: one is needed, and there is no program for this system.
        ServerStartError: one doesn't start.

    """
    with ExitStack() as stack:
        started: list[Child] = []

        def run(server: Server) -> str:
            url = stack.enter_context(server.running(say))
            started.append(server.process)
            return url

        yield Services(
            database_url=os.environ.get("DATABASE_URL") or run(Postgres(data_dir, durable=durable)),
            redis_url=os.environ.get("REDIS_URL") or run(Valkey(data_dir, durable=durable)),
            processes=tuple(started),
        )

"""The servers that are measured with, and a database of the benchmarks' own in one of them."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from funnel.local.exceptions import LocalError
from funnel.local.lock import locked
from funnel.local.paths import local_dir
from funnel.local.postgres import Postgres
from funnel.local.valkey import Valkey
from tests.benchmarks.pinning import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from funnel.local.steps import Say


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Where they are.

    Attributes:
        database_url: a database of our own, dropped after the run.
        big_database_url: a second one, for `growth`.
        admin_url: another database of the same server, from which to look at ours.
        redis_url: a server that speaks Redis' protocol, empty when the run begins.
        pinning: whether they run on our core.

    """

    database_url: str
    big_database_url: str
    admin_url: str
    redis_url: str
    pinning: str


@contextmanager
def running_servers(say: Say) -> Iterator[Servers]:
    """Run what ``DATABASE_URL`` and ``REDIS_URL`` don't name, until the block ends.

    fsync stays on: a commit costs what it costs.

    Raises:
        LocalError: one cannot be used; the message says what to do.

    """
    directory = local_dir() / "bench"
    with ExitStack() as stack:
        stack.enter_context(locked(directory))
        children = []
        admin_url = os.environ.get("DATABASE_URL")
        if not admin_url:
            stack.callback(shutil.rmtree, directory / "postgres", ignore_errors=True)
            postgres = Postgres(directory, durable=True)
            admin_url = stack.enter_context(postgres.running(say))
            children.append(postgres.process)
        redis_url = os.environ.get("REDIS_URL")
        if not redis_url:
            valkey = Valkey(directory, durable=False)
            redis_url = stack.enter_context(valkey.running(say))
            children.append(valkey.process)
        _refuse_redis_in_use(redis_url)
        yield Servers(
            database_url=stack.enter_context(_own_database(admin_url, "funnel_bench")),
            big_database_url=stack.enter_context(_own_database(admin_url, "funnel_bench_big")),
            admin_url=admin_url,
            redis_url=redis_url,
            pinning=_pinning([child.process.pid for child in children if child.process]),
        )


def _pinning(pids: list[int]) -> str:
    named = [name for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)]
    if named:
        return f"the servers of {' and '.join(named)} are not pinned"
    return "servers on the same core" if pinned(pids) else "the servers are not pinned"


@contextmanager
def _own_database(admin_url: str, prefix: str) -> Iterator[str]:
    name = f"{prefix}_{os.getpid()}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def _refuse_redis_in_use(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        if client.dbsize():
            raise LocalError(
                "REDIS_URL names a database with keys in it, and the benchmarks flush it. Name an "
                "empty one (redis://…/15), or unset REDIS_URL to let one be started."
            )

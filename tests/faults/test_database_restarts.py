"""The database restarts: every idle connection is dead, and the next requests are served."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.fault_servers import own_postgres
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fault_servers import OwnServer
    from tests.faults.conftest import StartSite

IDLE = 6  # the pool would need a minute to try so many, one after the other
# The watch would meet the first dead connection, and a shopper none.
SETTINGS = {
    "SESSIONS_UNIFIED": {"WATCH_SECONDS": 0, "DATABASE_BUDGET_SECONDS": 20},
    "POOL": {"timeout": 10, "min_size": IDLE, "max_size": 8},
}


@pytest.fixture
def postgres() -> Iterator[OwnServer]:
    # Not below pytest's own directories: they are closed to the account that PostgreSQL runs under.
    with (
        tempfile.TemporaryDirectory(prefix="funnel-faults-") as directory,
        own_postgres(Path(directory)) as server,
    ):
        yield server


def idle_connections(server: OwnServer) -> int:
    with psycopg.connect(server.url) as own:
        (number,) = own.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'idle' AND pid <> pg_backend_pid()"
        ).fetchone() or (0,)
    return int(number)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_r20_the_first_requests_after_it_are_served(
    postgres: OwnServer, start_site: StartSite, end: str
) -> None:
    site = start_site(SETTINGS, database_url=postgres.url)
    shoppers = [Shopper.start(site.base) for _ in range(IDLE)]
    wait_for(lambda: idle_connections(postgres) >= IDLE)

    getattr(postgres, end)()
    postgres.start()
    answers = [each.patch({"metadata": {"n": 1}}) for each in shoppers]

    assert [each.status for each in answers] == [200] * IDLE

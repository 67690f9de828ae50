"""The database dies and a standby takes over: read-only at first, then the new primary."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.fault_servers import own_postgres, promote, standby
from tests.fault_site import SHORT, fault_site
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fault_servers import OwnServer
    from tests.fault_site import FaultSite
    from tests.live_site import Answer

RECOVERY_SECONDS = 30


@pytest.fixture(scope="module")
def servers_dir() -> Iterator[Path]:
    # Not below pytest's own directories: they are closed to the account that PostgreSQL runs under.
    with tempfile.TemporaryDirectory(prefix="funnel-faults-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def primary(servers_dir: Path) -> Iterator[OwnServer]:
    with own_postgres(servers_dir / "primary") as server:
        yield server


@pytest.fixture(scope="module")
def site(
    primary: OwnServer, valkey: OwnServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultSite]:
    with fault_site(
        tmp_path_factory.mktemp("site"),
        redis_url=valkey.url,
        database_url=primary.url,
        settings=SHORT,
    ) as started:
        yield started


def make_read_only(url: str, setting: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        connection.execute("SELECT pg_reload_conf()")


def metadata(server: OwnServer, session_id: str) -> tuple[int, object, int]:
    """Return the row's version and metadata, and how many events it has."""
    with psycopg.connect(server.url) as connection:
        found = connection.execute(
            "SELECT version, metadata, (SELECT count(*) FROM sessions_unified_sessionevent e "
            "WHERE e.session_id = s.id) FROM sessions_unified_unifiedsession s WHERE id = %s",
            [session_id],
        ).fetchone()
    assert found is not None
    return found


def patched(shopper: Shopper, number: int, answers: list[Answer]) -> Answer:
    answers.append(shopper.patch({"metadata": {"n": number}}))
    return answers[-1]


def test_r19_r20_a_frozen_and_then_killed_server_is_found_again_when_it_starts(
    primary: OwnServer, site: FaultSite
) -> None:
    shopper = Shopper.start(site.base)

    primary.freeze()
    began = time.monotonic()
    frozen = shopper.patch({"metadata": {"n": 1}})
    took = time.monotonic() - began
    lives = site.livez().status
    primary.kill()
    killed = shopper.patch({"metadata": {"n": 2}})
    primary.start()
    started = time.monotonic()
    wait_for(lambda: shopper.patch({"metadata": {"n": 3}}).status == 200, seconds=RECOVERY_SECONDS)

    print(f"503 after {took:.2f} s; writes {time.monotonic() - started:.2f} s after the start")
    assert (frozen.status, killed.status, lives) == (503, 503, 200)
    assert took <= 3.5  # as in test_database_slow
    version, stored, events = metadata(primary, shopper.id)
    assert stored == {"n": 3}
    assert events == version
    site.show_log()


def test_r20_writes_come_back_within_30_s_of_a_failover(
    primary: OwnServer, site: FaultSite, servers_dir: Path
) -> None:
    shopper = Shopper.start(site.base)
    assert shopper.patch({"metadata": {"n": 1}}).status == 200

    with standby(servers_dir / "standby", primary) as other:
        make_read_only(primary.url, "on")
        answers: list[Answer] = []
        wait_for(lambda: patched(shopper, 2, answers).status == 503)  # its processes hear of it
        read = shopper.get()
        make_read_only(primary.url, "off")
        wait_for(lambda: shopper.patch({"metadata": {"n": 3}}).status == 200)
        wait_for(lambda: metadata(other, shopper.id)[1] == {"n": 3})

        primary.kill()
        site.database.target = other.target
        failed = time.monotonic()
        wait_for(lambda: shopper.get().status == 200)
        on_standby = [shopper.patch({"metadata": {"n": 4}}).status for _ in range(5)]
        promote(other)
        promoted = time.monotonic()
        wait_for(
            lambda: shopper.patch({"metadata": {"n": 5}}).status == 200, seconds=RECOVERY_SECONDS
        )

        now = time.monotonic()
        print(f"writes {now - promoted:.2f} s after the promotion, {now - failed:.2f} s after all")
        assert {each.status for each in answers} <= {200, 503}
        assert answers[-1].headers["Retry-After"]
        assert read.status == 200
        assert set(on_standby) == {503}
        assert now - failed <= RECOVERY_SECONDS
        assert shopper.get().json["metadata"] == {"n": 5}
        version, stored, events = metadata(other, shopper.id)
        assert (version, stored, events) == (shopper.get().json["version"], {"n": 5}, version)
        site.show_log()

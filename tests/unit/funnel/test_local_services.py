"""The real servers, started and stopped: what the demo and every test run stand on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from funnel.local import server
from funnel.local.exceptions import ServerMissingError, ServerStartError
from funnel.local.ports import LOOPBACK, free_port
from funnel.local.postgres import Postgres
from funnel.local.services import Services, running_services
from funnel.local.valkey import Valkey

ROOT = Path(__file__).resolve().parents[3]

START_AND_CRASH = """
import os, pathlib, signal, sys
from funnel.local.services import running_services
with running_services(pathlib.Path(sys.argv[1]), durable=True) as services:
    print(services.database_url, services.redis_url, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def no_urls_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")


def query(url: str, text: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(text.encode()).fetchone()
    assert row is not None
    return str(row[0])


def execute(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def redis_at(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def children_of_this_process() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_both_serve_and_are_gone_after(server_dir: Path) -> None:
    before = children_of_this_process()

    with running_services(server_dir, durable=False) as services:
        assert query(services.database_url, "SELECT current_database()") == "funnel"
        with redis_at(services.redis_url) as client:
            assert client.ping()
        assert len(children_of_this_process() - before) == 2

    assert children_of_this_process() == before
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(services.database_url)
    with redis_at(services.redis_url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_urls_in_the_environment_are_used_each_for_itself(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")

    with running_services(server_dir, durable=False) as services:
        assert services.database_url == "postgresql://elsewhere/db"
        assert urlsplit(services.redis_url).hostname == LOOPBACK
    assert not (server_dir / "postgres").exists()


def test_with_both_urls_nothing_is_started(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    before = children_of_this_process()

    with running_services(server_dir, durable=False) as services:
        assert services == Services(
            database_url="postgresql://elsewhere/db", redis_url="redis://elsewhere"
        )
        assert children_of_this_process() == before


def test_durable_servers_keep_their_data(server_dir: Path) -> None:
    with running_services(server_dir, durable=True) as first:
        execute(first.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        with redis_at(first.redis_url) as client:
            client.set("kept", "7")

    with running_services(server_dir, durable=True) as second:
        assert query(second.database_url, "SELECT number FROM kept") == "7"
        assert query(second.database_url, "SHOW fsync") == "on"
        with redis_at(second.redis_url) as client:
            assert client.get("kept") == b"7"


def test_other_servers_are_fast_and_start_empty(server_dir: Path) -> None:
    with running_services(server_dir, durable=False) as first:
        execute(first.database_url, "CREATE TABLE lost ()")
        with redis_at(first.redis_url) as client:
            client.set("lost", "7")

    with running_services(server_dir, durable=False) as second:
        assert query(second.database_url, "SELECT to_regclass('lost')") == "None"
        assert query(second.database_url, "SHOW fsync") == "off"
        with redis_at(second.redis_url) as client:
            assert client.dbsize() == 0


def test_times_are_utc_and_letters_beyond_ascii_have_case(server_dir: Path) -> None:
    with Postgres(server_dir, durable=False).running() as url:
        assert query(url, "SHOW timezone") == "UTC"
        assert query(url, "SELECT lower('ÉMILE')") == "émile"


def test_nobody_without_the_password_gets_in(server_dir: Path) -> None:
    with running_services(server_dir, durable=False) as services:
        database, cache = port_of(services.database_url), port_of(services.redis_url)

        with pytest.raises(psycopg.OperationalError, match="no password"):
            psycopg.connect(f"postgresql://postgres@{LOOPBACK}:{database}/funnel")
        with (
            redis_at(f"redis://{LOOPBACK}:{cache}") as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_the_process_list_shows_no_password(server_dir: Path) -> None:
    with running_services(server_dir, durable=False) as services:
        secrets = {urlsplit(services.database_url).password, urlsplit(services.redis_url).password}
        arguments = [" ".join(child.cmdline()) for child in psutil.Process().children()]

    assert all(secret and secret not in line for secret in secrets for line in arguments)


def test_what_a_killed_run_left_is_stopped_and_its_data_kept(server_dir: Path) -> None:
    crashed = subprocess.run(
        [sys.executable, "-c", START_AND_CRASH, str(server_dir)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    database_url, redis_url = crashed.stdout.split()
    execute(database_url, "CREATE TABLE kept AS SELECT 7 AS number")  # the orphan serves

    with running_services(server_dir, durable=True) as services:
        assert query(services.database_url, "SELECT number FROM kept") == "7"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(database_url)
        with redis_at(redis_url) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def test_an_interrupted_initdb_leaves_nothing_half_made(server_dir: Path) -> None:
    (server_dir / "postgres.new").mkdir()
    (server_dir / "postgres.new/PG_VERSION").write_text("18")

    with Postgres(server_dir, durable=True).running() as url:
        assert query(url, "SELECT 1") == "1"


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_a_port_taken_meanwhile_is_no_obstacle(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Postgres | Valkey]
) -> None:
    with socket.create_server((LOOPBACK, 0)) as other_program:
        taken = other_program.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr(server, "free_port", lambda: next(ports))

        with kind(server_dir, durable=False).running() as url:
            assert port_of(url) != taken


def test_a_server_that_cannot_start_shows_its_log(server_dir: Path) -> None:
    (server_dir / "postgres").mkdir(mode=0o700)
    (server_dir / "postgres/PG_VERSION").write_text("9")
    broken = Postgres(server_dir, durable=True)
    if broken.account:
        shutil.chown(server_dir / "postgres", broken.account)
        shutil.chown(server_dir / "postgres/PG_VERSION", broken.account)

    with pytest.raises(ServerStartError, match=r"PostgreSQL did not start:\n.*postgresql.conf"):
        broken.running().__enter__()

    assert not list(server_dir.glob("*.process"))


def test_steps_are_said(server_dir: Path) -> None:
    said: list[str] = []

    with Valkey(server_dir, durable=False).running(said.append):
        assert said[0] == "Starting Valkey … "
        assert said[1].startswith("ok (")

    assert said[2] == "Stopping Valkey … "


def test_no_server_for_this_system_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("funnel.local.binaries.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServerMissingError, match="Set DATABASE_URL"):
        Postgres(tmp_path, durable=True)
    with pytest.raises(ServerMissingError, match="Set REDIS_URL"):
        Valkey(tmp_path, durable=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="as root, PostgreSQL needs another account")
def test_as_root_it_runs_below_a_closed_directory(server_dir: Path) -> None:
    closed = server_dir / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)

    with Postgres(closed / "data", durable=False).running() as url:
        assert query(url, "SELECT 1") == "1"

    assert closed.stat().st_mode & 0o077 == 0o011  # others may pass, not list

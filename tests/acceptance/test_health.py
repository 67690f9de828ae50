"""What an orchestrator and Prometheus see of real web processes, as servers come and go."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from funnel.local.ports import LOOPBACK, free_port
from tests.live_site import Caller, Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def readyz(base: str) -> tuple[int, str, dict[str, str]]:
    """Return the code, the status, and each check's own."""
    answer = Caller(base=base).send("GET", "/readyz")
    print(answer.body)
    checks = {name: each["status"] for name, each in answer.json["checks"].items()}
    return answer.status, answer.json["status"], checks


@pytest.fixture
def silence() -> Iterator[int]:
    """Return a port where a server accepts and never answers."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield listening.getsockname()[1]


def test_a_process_is_ready_while_everything_answers(web_server: Callable[..., str]) -> None:
    base = web_server()

    wait_for(lambda: readyz(base)[1] == "ok")
    code, _, checks = readyz(base)

    assert code == 200
    assert set(checks) == {"keys", "memory", "database", "schema", "redis"}


def test_r46_a_process_stays_ready_with_redis_refusing_and_the_database_hanging(
    web_server: Callable[..., str], silence: int
) -> None:
    base = web_server(
        REDIS_URL=f"redis://{LOOPBACK}:{free_port()}/0",
        DATABASE_URL=f"postgresql://shop@{LOOPBACK}:{silence}/shop",
        threads=8,
    )

    for _ in range(3):
        before = time.monotonic()
        answer = Caller(base=base).send("GET", "/readyz")
        assert time.monotonic() - before < 15  # the pool alone would wait for 20 s

    wait_for(lambda: readyz(base)[2]["memory"] == "degraded")  # at first it has only begun
    code, status, checks = readyz(base)
    assert (code, status) == (200, "degraded")
    assert checks["redis"] == checks["database"] == checks["memory"] == "degraded"
    assert checks["keys"] == "ok"
    assert Caller(base=base).send("GET", "/livez").status == 200
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture
def empty_database(site_env: dict[str, str]) -> Iterator[str]:
    """Return the URL of a database in which nothing was migrated."""
    url = site_env["DATABASE_URL"]
    name = f"{connection.settings_dict['NAME']}_empty"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_process_newer_than_its_database_is_not_ready(
    empty_database: str, web_server: Callable[..., str]
) -> None:
    base = web_server(DATABASE_URL=empty_database)

    wait_for(lambda: readyz(base)[2].get("schema") == "failed")
    code, status, _ = readyz(base)

    assert (code, status) == (503, "failed")


def counted(base: str, name: str, **headers: str) -> float:
    """Return the sum of a metric's samples, over all labels."""
    answer = Caller(base=base).send("GET", "/metrics", **headers)
    assert answer.status == 200, answer.body
    families = text_string_to_metric_families(answer.body.decode())
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name)


def test_any_process_shows_what_all_have_counted(
    web_server: Callable[..., str], tmp_path: Path
) -> None:
    token = {"Authorization": "Bearer of-the-scraper"}
    base = web_server(
        processes=2,
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"),
        METRICS_TOKEN="of-the-scraper",
    )
    shopper = Shopper.start(base)

    def both_have_counted() -> bool:
        """Ask by several threads, so that the idle one of the two gets some of it."""
        with ThreadPoolExecutor(8) as threads:
            assert {each.status for each in threads.map(lambda _: shopper.get(), range(20))} == {
                200
            }
        pools = "sessions_unified_database_pool_connections"
        return counted(base, pools, **token) >= 16  # of 8 each

    wait_for(both_have_counted)
    wait_for(lambda: counted(base, "sessions_unified_reads_total", **token) >= 20)
    seen = {counted(base, "sessions_unified_staleness_bound_seconds", **token) for _ in range(8)}
    assert seen == {60.0}
    assert Caller(base=base).send("GET", "/metrics").status == 404


def test_what_charges_says_its_session_in_the_log(
    web_server: Callable[..., str], tmp_path: Path
) -> None:
    shopper = Shopper.start(web_server())

    assert shopper.pay().status == 200
    assert shopper.answer("upsell-1-serum").status == 200

    text = "".join(path.read_text() for path in tmp_path.glob("web-*.log"))
    lines = [json.loads(line) for line in text.splitlines() if line[:1] == "{"]
    charges = ("POST /api/checkout/process", "POST /api/upsell/process")
    finished = [line for line in lines if line["event"] == "request_finished"]
    said = [
        (each.get("session"), each.get("tier")) for each in finished if each["request"] in charges
    ]
    assert said == [(shopper.id, "database")] * 2


CANARY = "Canary-4711"


def test_r40_a_shoppers_data_and_token_are_in_no_log_line(
    web_server: Callable[..., str], tmp_path: Path
) -> None:
    base = web_server(LOG_LEVEL="DEBUG")
    email = f"{CANARY}@example.org"
    customer = {"firstName": CANARY, "lastName": CANARY, "phone": CANARY}
    shopper = Shopper.start(base, email=email)

    shopper.patch({"customer": customer})
    shopper.patch({"customer": customer, "email": f"not {CANARY}"})
    shopper.send("POST", "/api/session/create", f'{{"email": "{email}", broken'.encode())
    shopper.send("GET", f"/admin/login/?next=/admin/&q={CANARY}")
    shopper.send("GET", f"/s/{CANARY}")
    shopper.pay("tok_approve", email=email)

    logs = [path.read_text(errors="replace") for path in tmp_path.glob("web-*.log")]
    lines = [json.loads(line) for text in logs for line in text.splitlines() if line[:1] == "{"]
    finished = [line for line in lines if line["event"] == "request_finished"]
    assert len(finished) >= 6
    assert all(line["request_id"] for line in finished)
    assert CANARY not in "".join(logs)
    assert shopper.token not in "".join(logs)

"""What a scrape answers: what was counted, what is measured now, and nothing where a tier fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from prometheus_client.parser import text_string_to_metric_families

from funnel.local.ports import LOOPBACK, free_port
from sessions_unified import get_manager, metrics
from sessions_unified.models import UnifiedSession
from sessions_unified.monitoring import exposition, readiness
from sessions_unified.monitoring.pool_stats import count_pool, get_pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from prometheus_client import CollectorRegistry
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.usefixtures("transactional_db", "redis_flush", "anew")

Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def anew() -> None:
    """Measure now, whatever another test has kept."""
    exposition._database.forget()
    exposition._redis.forget()


def scraped() -> Shown:
    families = text_string_to_metric_families(exposition.exposition().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(shown: Shown, name: str, **labels: str) -> float | None:
    return shown.get((f"sessions_unified_{name}", tuple(sorted(labels.items()))))


def test_every_metric_of_the_code_is_shown() -> None:
    shown = {name for name, _ in scraped()}

    measured = {each.name for each in vars(metrics).values() if isinstance(each, metrics.Measured)}
    plain = {"sessions_unified_invalidation_gaps_total", "sessions_unified_l1_entries"}
    assert measured <= shown
    assert plain <= shown


def test_the_bound_is_published(settings: SettingsWrapper) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"STALENESS_BOUND_SECONDS": 30}

    assert value(scraped(), "staleness_bound_seconds") == 30


def test_what_waits_is_measured(redis_client: redis.Redis) -> None:
    session = get_manager().create_session(email="ana@example.org")
    ended = session.created_at - timedelta(hours=1)
    UnifiedSession.objects.filter(pk=session.id).update(expires_at=ended)
    redis_client.zadd("su:touches", {"ws_1_1": time.time() - 100, "ws_1_2": time.time()})

    shown = scraped()

    assert value(shown, "expiry_backlog") == 1
    assert 3600 <= (value(shown, "expiry_oldest_seconds") or 0) < 3660
    assert value(shown, "relay_lag_events", consumer="caches") == 1
    assert 0 < (value(shown, "relay_lag_seconds", consumer="caches") or 0) < 60
    assert value(shown, "touches_pending") == 2
    assert 100 <= (value(shown, "touches_oldest_seconds") or 0) < 110
    assert value(shown, "tier_up", tier="database") == 1
    assert value(shown, "tier_up", tier="redis") == 1


def test_a_database_that_takes_writes_says_so() -> None:
    assert value(scraped(), "database_writable") == 1


@pytest.fixture
def read_only_database(transactional_db: None) -> Iterator[None]:
    """Let this test's connection refuse writes."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        yield
        cursor.execute("SET default_transaction_read_only = off")


@pytest.mark.usefixtures("read_only_database")
def test_a_read_only_database_is_up_and_not_writable() -> None:
    samples = exposition._ask_database()

    assert samples is not None
    assert samples[0] == (metrics.DATABASE_WRITABLE, (), 0.0)


@pytest.mark.usefixtures("read_only_database")
def test_a_read_only_database_degrades_the_process() -> None:
    found = readiness._ask_database()["database"]

    assert (found.status, found.reason) == ("degraded", "read-only")


def test_a_second_scrape_asks_nobody() -> None:
    before = value(scraped(), "expiry_backlog")
    session = get_manager().create_session(email="ana@example.org")
    UnifiedSession.objects.filter(pk=session.id).update(expires_at=session.created_at)

    assert before == value(scraped(), "expiry_backlog") == 0


def test_without_redis_a_scrape_still_shows_the_rest(settings: SettingsWrapper) -> None:
    default = settings.CACHES["default"]
    gone = default | {"LOCATION": f"redis://{LOOPBACK}:{free_port()}/0"}
    settings.CACHES = settings.CACHES | {"default": gone}

    shown = scraped()

    assert value(shown, "tier_up", tier="redis") == 0
    assert value(shown, "touches_pending") is None
    assert value(shown, "tier_up", tier="database") == 1
    assert value(shown, "expiry_backlog") == 0


def test_a_measurement_that_takes_too_long_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sessions_unified.monitoring.vitals.STATEMENT_SECONDS", 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE sessions_unified_logcursor")
        shown = scraped()

    assert value(shown, "relay_lag_seconds", consumer="caches") is None
    assert value(shown, "expiry_backlog") == 0
    assert value(shown, "tier_up", tier="database") == 1


def test_a_database_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition._database, "_ask", lambda: time.sleep(8))
    monkeypatch.setattr(exposition._database, "_patience", 1.5)

    first, second = _timed_scrape(), _timed_scrape()

    assert 1.5 <= first < 6
    assert second < 1.5


def _timed_scrape() -> float:
    before = time.monotonic()
    assert value(scraped(), "tier_up", tier="database") == 0
    return time.monotonic() - before


def test_the_pool_is_counted_once() -> None:
    count_pool()
    before = metrics.POOL_WAITS._value.get()
    pool = get_pool()
    queued = pool.get_stats().get("requests_queued", 0)
    connection.close()
    taken = [pool.getconn() for _ in range(pool.max_size)]
    returning = threading.Timer(0.1, pool.putconn, [taken.pop()])
    returning.start()
    taken.append(pool.getconn())  # waits for it
    returning.join()
    for each in taken:
        pool.putconn(each)

    count_pool()
    count_pool()

    waits = metrics.POOL_WAITS._value.get() - before
    assert waits == pool.get_stats()["requests_queued"] - queued > 0
    assert metrics.POOL_CONNECTIONS.labels("idle")._value.get() > 0


PROCESS = """
import django, sys
django.setup()
from sessions_unified import metrics
metrics.GAPS.inc()
metrics.L1_ENTRIES.set(7)
if len(sys.argv) > 1:
    from sessions_unified.monitoring.exposition import counted
    sys.stdout.write(counted().decode())
"""


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


def test_a_file_that_is_being_made_is_read_again(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = shared / "counter_4711.db"
    torn.touch()
    real = exposition.generate_latest

    def generate(registry: CollectorRegistry) -> bytes:
        try:
            return real(registry)
        finally:
            torn.unlink(missing_ok=True)

    monkeypatch.setattr(exposition, "generate_latest", generate)

    assert exposition.counted() == b""


def test_two_scrapes_forget_the_same_dead_process(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared / "gauge_livesum_999999999.db"
    path.touch()
    monkeypatch.setattr(
        exposition, "mark_process_dead", lambda pid, folder: (path.unlink(), path.unlink())
    )

    assert exposition.counted() == b""


def test_what_a_dead_process_counted_stays_and_what_it_held_goes(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "DJANGO_SETTINGS_MODULE": "funnel.settings",
    }

    subprocess.run([sys.executable, "-c", PROCESS], env=env, check=True)
    scraping = subprocess.run(
        [sys.executable, "-c", PROCESS, "scrape"], env=env, check=True, capture_output=True
    )

    shown = scraping.stdout.decode()
    assert "sessions_unified_invalidation_gaps_total 2.0" in shown
    assert "sessions_unified_l1_entries 7.0" in shown

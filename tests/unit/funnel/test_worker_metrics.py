"""A worker answers scrapes by itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from funnel import worker_metrics
from funnel.local.ports import LOOPBACK
from tests.live_site import Caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

ADDRESS = "/metrics"


@pytest.fixture
def worker(settings: SettingsWrapper) -> Iterator[Caller]:
    settings.METRICS_TOKEN = "of-the-scraper"
    server = worker_metrics.serve(0)
    yield Caller(base=f"http://{LOOPBACK}:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_a_worker_shows_what_it_counted_to_who_has_the_token(worker: Caller) -> None:
    shown = worker.send("GET", ADDRESS, Authorization="Bearer of-the-scraper")

    assert shown.status == 200
    assert b"sessions_unified_divergences_total" in shown.body
    assert b"sessions_unified_tier_up" not in shown.body


def test_a_worker_shows_nothing_to_anybody_else(worker: Caller) -> None:
    asked = [
        worker.send("GET", ADDRESS),
        worker.send("GET", ADDRESS, Authorization="Bearer wrong"),
        worker.send("GET", "/", Authorization="Bearer of-the-scraper"),
    ]

    assert [answer.status for answer in asked] == [404, 404, 404]


def test_a_port_that_is_taken_costs_the_worker_nothing(
    settings: SettingsWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("", 0)) as taken:
        settings.METRICS_PORT = taken.getsockname()[1]

        worker_metrics.start()

    assert "METRICS_PORT" in caplog.text


def test_without_a_port_a_worker_listens_nowhere(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_metrics, "serve", lambda port: pytest.fail("it listens"))
    settings.METRICS_PORT = 0

    worker_metrics.start()

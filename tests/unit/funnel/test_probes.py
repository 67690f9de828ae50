"""What machines ask of a process, before anything else of the site is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from funnel import probes
from sessions_unified.monitoring.readiness import DEGRADED, FAILED, OK, Check, Readiness

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

TOKEN = "a-token-of-the-scraper"


@pytest.fixture(autouse=True)
def exposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "exposition", lambda: b"shown 1\n")


def scrape(**headers: str) -> int:
    return Client().get("/metrics", headers=headers).status_code


def test_r46_livez_asks_no_dependency() -> None:
    # This test may not touch the database: pytest-django would raise.
    response = Client().get("/livez")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_a_probe_asks_by_address_and_over_plain_http(settings: SettingsWrapper) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["shop.example.com"], True

    response = Client().get("/livez", headers={"Host": "10.1.2.3"})

    assert response.status_code == 200


@pytest.mark.parametrize(("status", "code"), [(OK, 200), (DEGRADED, 200), (FAILED, 503)])
def test_a_degraded_process_is_ready_and_a_failed_one_is_not(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Readiness(status=status, checks={"redis": Check(status=status, ms=1.5, reason="x")})
    monkeypatch.setattr(probes, "readiness", lambda: found)

    response = Client().get("/readyz")

    assert response.status_code == code
    assert response.json() == {
        "status": status,
        "checks": {"redis": {"status": status, "ms": 1.5, "reason": "x"}},
    }


def test_metrics_are_shown_to_who_has_the_token(settings: SettingsWrapper) -> None:
    settings.METRICS_TOKEN = TOKEN

    response = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (response.status_code, response.content) == (200, b"shown 1\n")
    assert response["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \xe9"])
def test_metrics_are_nothing_to_anybody_else(given: str, settings: SettingsWrapper) -> None:
    settings.METRICS_TOKEN = TOKEN

    assert scrape(Authorization=given) == 404
    assert scrape() == 404


def test_without_a_token_nobody_may_scrape(settings: SettingsWrapper) -> None:
    settings.METRICS_TOKEN, settings.INSECURE_HTTP = "", False

    assert scrape() == 404
    assert scrape(Authorization="Bearer ") == 404


def test_on_a_laptop_no_token_is_needed(settings: SettingsWrapper) -> None:
    settings.METRICS_TOKEN, settings.INSECURE_HTTP = "", True

    assert scrape() == 200


def test_on_a_laptop_a_token_that_is_set_is_asked_for(settings: SettingsWrapper) -> None:
    settings.METRICS_TOKEN, settings.INSECURE_HTTP = TOKEN, True

    assert scrape() == 404


def test_where_plain_http_is_redirected_metrics_are_still_nothing(
    settings: SettingsWrapper,
) -> None:
    settings.METRICS_TOKEN, settings.SECURE_SSL_REDIRECT = TOKEN, True

    assert scrape() == 404


def test_a_head_has_no_body_and_the_length_that_a_get_has() -> None:
    # Django's test client takes the body off itself; gunicorn does not.
    response = probes.ProbeMiddleware(HttpResponse)(RequestFactory().head("/livez"))

    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Length"] == "3"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_a_probe_is_only_read(path: str) -> None:
    response = Client().post(path)

    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")

"""R30: every Set-Cookie of the session, and what comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from sessions_unified.cookies import clear_cookie, issue_cookie, session_id_from_cookie
from tests.sessions import snapshot

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

SESSION = snapshot(id="ws_1_a", created_at=datetime.now(UTC), expires_at=datetime.now(UTC))
pytestmark = pytest.mark.django_db


@pytest.fixture(params=[("__Host-funnel_session", True), ("funnel_session", False)])
def cookie_name(request: pytest.FixtureRequest, settings: SettingsWrapper) -> str:
    name, is_secure = request.param
    ours = {"COOKIE_NAME": name, "COOKIE_SECURE": is_secure}
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | ours
    return str(name)


def test_r30_the_cookie_is_http_only_lax_small_and_host_bound(cookie_name: str) -> None:
    for write in (lambda response: issue_cookie(response, SESSION), clear_cookie):
        response = HttpResponse()

        write(response)

        cookie = response.cookies[cookie_name]
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == ""
        assert bool(cookie["secure"]) is cookie_name.startswith("__Host-")
        assert len(cookie.OutputString()) <= 4096


def test_the_cookie_outlives_the_session_by_the_grace_and_clearing_ends_it(
    cookie_name: str,
) -> None:
    response = HttpResponse()
    issue_cookie(response, SESSION)
    age = timedelta(seconds=response.cookies[cookie_name]["max-age"])

    clear_cookie(response)

    assert timedelta(hours=47) < age <= timedelta(hours=48)
    assert response.cookies[cookie_name]["max-age"] == 0
    assert response.cookies[cookie_name].value == ""


def test_the_cookie_opens_its_session_and_nonsense_opens_none(cookie_name: str) -> None:
    response = HttpResponse()
    issue_cookie(response, SESSION)
    request = RequestFactory().get("/")

    request.COOKIES[cookie_name] = response.cookies[cookie_name].value
    opened = session_id_from_cookie(request)
    nonsense = []
    for value in ("", "x", "....", "W1tbW1tb.a.b.c.d", "\udcff", "x" * 5000):
        request.COOKIES[cookie_name] = value
        nonsense.append(session_id_from_cookie(request))

    assert opened == "ws_1_a"
    assert nonsense == [None] * 6
    assert session_id_from_cookie(RequestFactory().get("/")) is None

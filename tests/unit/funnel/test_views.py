"""The last-resort error pages."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory

from funnel import views


@pytest.mark.parametrize("path", ["/api/nothing", "/api/session/not-an-id", "/api/"])
def test_an_unknown_api_address_is_a_problem(path: str) -> None:
    response = Client().get(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_r39_a_failure_that_nobody_foresaw_shows_no_internals() -> None:
    api = views.server_error(RequestFactory().get("/api/session/create"))
    page = views.server_error(RequestFactory().get("/checkout"))

    assert (api.status_code, page.status_code) == (500, 500)
    assert b'"code":"internal_error"' in api.content
    assert b"Something went wrong" in page.content

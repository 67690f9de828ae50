"""Logs never hold a one-time link's secret."""

from __future__ import annotations

import pytest

from funnel.redaction import redact_links


@pytest.mark.parametrize(
    ("request_line", "logged"),
    [
        ("GET /s/abc-DEF_123", "GET /s/[redacted]"),
        ("GET /s/abc?x=1", "GET /s/[redacted]?x=1"),
        ("GET /success", "GET /success"),
    ],
)
def test_a_links_secret_is_redacted(request_line: str, logged: str) -> None:
    assert redact_links(None, "info", {"request": request_line})["request"] == logged


def test_an_event_without_a_request_is_left_alone() -> None:
    assert redact_links(None, "info", {"event": "x"}) == {"event": "x"}

"""Logs never hold a one-time link's secret."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
from structlog.stdlib import ProcessorFormatter

from funnel.redaction import redact_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper


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


@pytest.fixture
def log(settings: SettingsWrapper) -> Iterator[io.StringIO]:
    """Return what the site logs, formatted as its settings say."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    options = {**settings.LOGGING["formatters"]["lines"]}
    options.pop("()")
    handler.setFormatter(ProcessorFormatter(**options))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_an_error_at_a_link_that_is_still_good_is_logged_without_it(
    client: Client, log: io.StringIO
) -> None:
    client.get("/s/abc-DEF_123", headers={"Sec-Purpose": "prefetch"})

    assert "Service Unavailable: /s/[redacted]" in log.getvalue()
    assert "abc-DEF_123" not in log.getvalue()

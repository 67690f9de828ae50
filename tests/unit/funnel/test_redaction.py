"""Logs never hold a one-time link's secret."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
from structlog.stdlib import ProcessorFormatter

from funnel.redaction import redact_cards, redact_links
from tests.canaries import logged

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


NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (f"no such card {NUMBER}!", "no such card [card number]!"),
        ("GET /4111-1111-1111-1111", "GET /[card number]"),
        (int(NUMBER), "[card number]"),
        ({"a": [NUMBER, 5], NUMBER: 1}, {"a": ["[card number]", 5], "[card number]": 1}),
        ({"cvv": "739", "x": None}, {"cvv": "[card data]", "x": None}),
        ((NUMBER,), "('[card number]',)"),
        (ValueError(NUMBER), "ValueError('[card number]')"),
    ],
)
def test_a_card_number_is_redacted_wherever_it_is(value: object, logged: object) -> None:
    assert redact_cards(None, "info", {"x": value}) == {"x": logged}


@pytest.mark.parametrize("digits", [NUMBER, "01234567890123456"])
def test_a_duration_is_no_card_number_and_hides_none(digits: str) -> None:
    event = redact_cards(None, "info", {"event": f"succeeded in 0.{digits}s: 0"})

    assert event == {"event": f"succeeded in 0.{digits[:6]}s: 0"}


def test_a_field_named_like_a_secret_is_redacted() -> None:
    event = {"event": "x", "cvv": "739", "securityCode": 739}

    assert redact_cards(None, "info", event) == {
        "event": "x",
        "cvv": "[card data]",
        "securityCode": "[card data]",
    }


def test_what_is_no_card_number_is_logged_as_it_is() -> None:
    event = {
        "event": "request_finished",
        "session": "ws_mwqkv2ep_0m4469c784r4pcm9qihyokw80",
        "request_id": "fb4535d9-f2eb-404f-ad82-0445d807cbaf",
        "timestamp": "2026-11-21T15:43:27.239825Z",
        "ms": 1763738542123,
        "seconds": 1763738542.123456,
        "code": 200,
        "ok": True,
        "user": None,
        "ids": (1, 2),
    }

    assert redact_cards(None, "info", dict(event)) == event


def test_deep_values_are_redacted_as_text() -> None:
    value: object = NUMBER
    for _ in range(50):
        value = [value]

    assert NUMBER not in repr(redact_cards(None, "info", {"x": value}))


@pytest.mark.parametrize("shape", ["json", "lines"])
def test_r41_an_error_that_quotes_a_number_is_logged_without_it(shape: str) -> None:
    with logged(shape) as stream:
        try:
            int(f"card {NUMBER}")  # a traceback shows source, never values
        except ValueError:
            logging.getLogger("x").exception("Could not do it for %s", NUMBER)

    assert "Could not do it for [card number]" in stream.getvalue()
    assert "invalid literal" in stream.getvalue()
    assert NUMBER not in stream.getvalue()

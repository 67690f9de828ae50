"""What ``HOOKS`` may say."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from funnel.hooks.calling import CallableTarget
from funnel.hooks.targets import parse
from funnel.hooks.webhook import WebhookTarget, _tls
from tests.hook_receiver import SECRET


def test_a_callable_and_a_webhook_are_told_apart() -> None:
    books = parse("books", {"CALLABLE": "tests.hooks.remember"})
    shop = parse("shop", {"URL": "https://example.com/orders", "SECRET": SECRET})

    assert isinstance(books, CallableTarget)
    assert isinstance(shop, WebhookTarget)
    assert shop.url == "https://example.com/orders"


def test_a_repr_hides_the_secret_and_the_address() -> None:
    shop = parse("shop", {"URL": "https://example.com/a-capability", "SECRET": SECRET})

    assert repr(shop) == "WebhookTarget(name='shop', timeout_seconds=10)"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "other keys"),
        ({"URL": "https://example.com/"}, "other keys"),
        ({"CALLABLE": "a.b", "URL": "https://example.com/", "SECRET": SECRET}, "other keys"),
        ({"CALLABLE": "a.b", "RETRIES": 3}, "other keys"),
        ({"URL": "http://example.com/", "SECRET": SECRET}, "not https"),
        ({"URL": "http://127.0.0.1.example.com/", "SECRET": SECRET}, "not https"),
        ({"URL": "ftp://example.com/", "SECRET": SECRET}, "no http"),
        ({"URL": "example.com/orders", "SECRET": SECRET}, "no http"),
        ({"URL": "https://[", "SECRET": SECRET}, "Invalid"),
        ({"URL": "https://example.com/", "SECRET": ""}, "no secret"),
    ],
)
def test_what_is_no_target_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse("shop", given)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:1"])
def test_this_machine_may_be_asked_in_clear(host: str) -> None:
    assert parse("shop", {"URL": f"http://{host}/", "SECRET": SECRET})


def test_certificates_are_verified() -> None:
    context = _tls()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_fits_its_column(name: str) -> None:
    with pytest.raises(ValueError, match="64 characters"):
        parse(name, {"CALLABLE": "a.b"})

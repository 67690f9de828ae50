"""What all pages share: headers, escaping, and an answer for every failure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from sessions_unified.snapshot import Product

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db

PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}
HOSTILE = "<script>alert(1)</script>\"'&"


def use_manager(settings: SettingsWrapper, name: str) -> None:
    path = f"tests.unit.funnel.storefront.unreachable.{name}"
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": path}


@pytest.mark.parametrize("url", ["/", "/checkout", "/start", "/start-again", "/s/unknown"])
def test_no_page_is_ever_stored(url: str) -> None:
    assert Client().get(url)["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "/"),
        ({}, "/checkout"),
        ({"status": "processing", "current_step": "processing"}, "/processing"),
        (PAID | {"status": "processing", "current_step": "upsell-1"}, "/upsell-1"),
        (PAID | {"status": "completed", "current_step": "success"}, "/success"),
        ({"status": "failed"}, "/start-again"),
    ],
)
def test_pages_escape_everything_and_need_no_inline_code(
    shopper: MakeShopper, fields: dict[str, Any], url: str
) -> None:
    product = Product(id=HOSTILE, name=HOSTILE, quantity=1, price=Decimal(25))
    browser = shopper(
        email=f"{HOSTILE}@example.org",
        products=(product,),
        customer={"firstName": HOSTILE, "address": {"line1": HOSTILE}},
        **fields,
    )

    answer = browser.get(url)
    page = answer.content.decode()

    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "<script" not in page
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)


def test_no_page_shows_the_vault(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="processing", current_step="upsell-1")

    assert PAID["vault_id"] not in browser.get("/upsell-1").content.decode()


def test_unreachable_database_says_so_in_plain_words(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    browser = shopper()
    use_manager(settings, "NothingAnswersManager")

    answer = browser.get("/checkout")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Cache-Control"] == "no-store"
    assert "nothing will be charged twice" in answer.content.decode()


def test_unreachable_database_still_shows_what_there_is_to_buy(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    browser = shopper()
    use_manager(settings, "NothingAnswersManager")

    assert "Living Soil 5L" in browser.get("/").content.decode()


def test_a_cached_copy_serves_while_the_database_is_down(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    browser = shopper()
    use_manager(settings, "CachesAnswerManager")

    answer = browser.get("/checkout")

    assert (answer.status_code, answer["Session-Degraded"]) == (200, "database")


def test_paying_while_the_database_is_down_keeps_key_card_and_data(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    browser = shopper()
    sent = browser.form(browser.get("/checkout")) | {"payment_token": "tok_decline"}
    use_manager(settings, "CachesAnswerManager")

    answer = browser.post("/checkout", sent)

    assert answer.status_code == 503
    assert answer.context["key"] == sent["key"]
    assert 'value="tok_decline" required checked' in answer.content.decode()
    assert 'value="Springfield"' in answer.content.decode()


def test_a_form_from_elsewhere_is_refused_in_plain_words(shopper: MakeShopper) -> None:
    browser = Client(enforce_csrf_checks=True)

    answer = browser.post("/start", {"SOIL": "1"})

    assert answer.status_code == 403
    assert "Nothing was charged" in answer.content.decode()


@pytest.mark.parametrize(
    ("method", "url"), [("post", "/success"), ("post", "/"), ("put", "/checkout")]
)
def test_other_methods_are_refused(method: str, url: str) -> None:
    assert getattr(Client(), method)(url).status_code == 405


def test_an_unknown_address_has_a_page() -> None:
    answer = Client(raise_request_exception=False).get("/nowhere")

    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.content.decode()

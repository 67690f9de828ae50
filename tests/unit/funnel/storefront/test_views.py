"""The shop's page, starting an order, waiting, and starting again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from sessions_unified.clock import get_clock
from sessions_unified.cookies import session_id_from_cookie
from sessions_unified.models import UnifiedSession
from sessions_unified.snapshot import Product

if TYPE_CHECKING:
    from django.test import RequestFactory

    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db

PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}


def test_starting_prices_the_order_by_the_catalogue(rf: RequestFactory) -> None:
    browser = Client()

    answer = browser.post("/start", {"SOIL": "2", "POT": "3", "LAMP": "", "price": "0.01"})

    row = UnifiedSession.objects.get()
    request = rf.get("/")
    request.COOKIES = {"funnel_session": browser.cookies["funnel_session"].value}
    assert (answer.status_code, answer["Location"]) == (303, "/checkout")
    assert (row.amount, row.currency) == (Decimal("25.3000"), "USD")
    assert session_id_from_cookie(request) == row.pk


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({}, "Choose how many you want of at least one product."),
        ({"SOIL": "0"}, "Choose how many you want of at least one product."),
        ({"SOIL": "-1"}, "Living Soil 5L: the quantity cannot be below 0."),
        ({"SOIL": "101"}, "Living Soil 5L: we sell at most 100 at a time."),
        ({"SOIL": "1.5"}, "Living Soil 5L: type a whole number."),
        ({"SOIL": "many"}, "Living Soil 5L: type a whole number."),
        ({"SOIL": "9" * 400}, "Living Soil 5L"),
        ({"LAMP": "100", "SEED-3": "100"}, "An order cannot be larger than 10000 USD."),
    ],
)
def test_an_impossible_order_is_refused_in_words(typed: dict[str, str], message: str) -> None:
    answer = Client().post("/start", typed)

    assert answer.status_code == 422
    assert message in answer.content.decode()
    assert UnifiedSession.objects.count() == 0


def test_an_order_not_paid_yet_is_changed_and_not_doubled(shopper: MakeShopper) -> None:
    browser = shopper()

    shown = browser.get("/").content.decode()
    answer = browser.post("/start", {"LAMP": "1"})

    row = UnifiedSession.objects.get()
    assert "You have an order in progress: 2 items, 25.00 USD." in shown
    assert 'name="SOIL" value="2"' in shown
    assert answer["Location"] == "/checkout"
    assert [product["id"] for product in row.products] == ["LAMP"]
    assert row.amount == Decimal("89.0000")


@pytest.mark.parametrize(
    ("fields", "page"),
    [
        ({"status": "processing", "current_step": "processing"}, "/processing"),
        (PAID | {"status": "processing", "current_step": "upsell-1"}, "/upsell-1"),
    ],
)
def test_an_unfinished_order_comes_first(
    shopper: MakeShopper, fields: dict[str, str], page: str
) -> None:
    browser = shopper(**fields)

    shown = browser.get("/").content.decode()
    answer = browser.post("/start", {"LAMP": "1"})

    assert f'href="{page}"' in shown
    assert "Finish the order above" in shown
    assert answer["Location"] == page
    assert UnifiedSession.objects.count() == 1


def test_after_a_finished_order_there_is_a_new_one(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="completed", current_step="success")

    shown = browser.get("/").content.decode()
    answer = browser.post("/start", {"LAMP": "1"})

    assert "See your receipt" in shown
    assert answer["Location"] == "/checkout"
    assert UnifiedSession.objects.count() == 2


def test_an_order_in_review_is_told_honestly(shopper: MakeShopper) -> None:
    answer = shopper(status="processing", current_step="processing").get("/processing")
    page = answer.content.decode()

    assert answer["Refresh"] == "60"
    assert "We are checking your payment" in page
    assert "should not pay again" in page
    assert "<form" not in page


def test_an_expired_session_offers_the_same_products(shopper: MakeShopper) -> None:
    gone = Product(id="OLD", name="Old Rake", quantity=1, price=Decimal(9))
    soil = Product(id="SOIL", name="Soil", quantity=60, price=Decimal(1))
    browser = shopper(products=(soil, gone, soil), expires_at=get_clock().now())

    page = browser.get("/start-again").content.decode()
    shown = browser.get("/").content.decode()
    answer = browser.post("/start-again")

    new = UnifiedSession.objects.order_by("created_at").last()
    assert "This session has expired" in page
    assert "No longer sold: Old Rake." in page
    assert "Start again with the same products" in shown
    assert answer["Location"] == "/checkout"
    assert new is not None
    assert [(p["id"], p["quantity"]) for p in new.products] == [("SOIL", 100)]
    assert new.amount == Decimal("1250.0000")
    assert new.email is None


@pytest.mark.parametrize(
    "products",
    [
        (),
        (Product(id="OLD", quantity=1),),
        (Product(id="SOIL", quantity=0),),
        (Product(id="LAMP", quantity=100), Product(id="SEED-3", quantity=100)),
    ],
)
def test_nothing_to_order_again_leads_to_the_shop(
    shopper: MakeShopper, products: tuple[Product, ...]
) -> None:
    browser = shopper(products=products, expires_at=get_clock().now())

    page = browser.get("/start-again").content.decode()
    again = browser.post("/start-again")

    assert "Choose products" in page
    assert again.status_code == 200
    assert UnifiedSession.objects.count() == 1


def test_a_receipt_past_its_day_is_not_shown(shopper: MakeShopper) -> None:
    now = get_clock().now()
    browser = shopper(**PAID, status="completed", current_step="success")
    UnifiedSession.objects.update(expires_at=now - timedelta(seconds=1))

    answer = browser.get("/success")
    page = browser.get("/start-again").content.decode()

    assert answer["Location"] == "/start-again"
    assert "This receipt is no longer shown" in page
    assert "Order the same again" in page
    assert "ana@example.org" not in page


def test_a_failed_session_says_so(shopper: MakeShopper) -> None:
    page = shopper(status="failed").get("/start-again").content.decode()

    assert "This order was not finished" in page

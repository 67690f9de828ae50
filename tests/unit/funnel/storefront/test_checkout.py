"""The checkout's page and every way in which pressing Pay can end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox import SandboxGateway
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession
from sessions_unified.snapshot import Product

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db


def test_paying_leads_to_the_extras_and_keeps_what_was_typed(shopper: MakeShopper) -> None:
    customer = {"firstName": "Old", "marketingOptIn": True, "address": {"door": "4B"}}
    browser = shopper(customer=customer, email=None)

    answer = browser.pay()

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert (answer.status_code, answer["Location"]) == (303, "/upsell-1")
    assert "funnel_session" in answer.cookies
    assert row.email == "ana@example.org"
    assert row.customer["firstName"] == "Ana"
    assert row.customer["marketingOptIn"] is True
    assert row.customer["address"]["door"] == "4B"
    assert row.customer["address"]["line1"] == "1 High St"


def test_sending_the_same_form_again_answers_from_where_the_shopper_is(
    shopper: MakeShopper,
) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}

    answers = [browser.post("/checkout", form) for _ in range(3)]

    assert {a["Location"] for a in answers} == {"/upsell-1"}
    assert SandboxCharge.objects.count() == 1


def test_a_decline_keeps_the_data_drops_the_token_and_changes_the_key(
    shopper: MakeShopper,
) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_decline"}

    answer = browser.post("/checkout", form)
    page = answer.content.decode()

    assert answer.status_code == 402
    assert answer.context["key"] != form["key"]
    assert "The card was declined. Nothing was charged. Try another card." in page
    assert 'value="Springfield"' in page
    assert " checked" not in page
    assert SandboxCharge.objects.count() == 0


def test_reloading_a_decline_repeats_it_without_asking_the_gateway(shopper: MakeShopper) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_decline"}
    browser.post("/checkout", form)

    assert browser.post("/checkout", form).status_code == 402
    assert ChargeAttempt.objects.count() == 1


def test_another_card_under_a_used_key_is_asked_for_again(shopper: MakeShopper) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_decline"}
    browser.post("/checkout", form)

    answer = browser.post("/checkout", form | {"payment_token": "tok_approve"})

    assert answer.status_code == 409
    assert answer.context["key"] != form["key"]
    assert SandboxCharge.objects.count() == 0
    assert browser.pay()["Location"] == "/upsell-1"


@pytest.mark.parametrize("token", ["tok_timeout_charged", "tok_timeout_uncharged"])
def test_an_unknown_outcome_is_waited_for(shopper: MakeShopper, token: str) -> None:
    browser = shopper()

    answer = browser.pay(token)
    waiting = browser.get("/processing")

    assert answer["Location"] == "/processing"
    assert waiting["Refresh"] == "5"
    assert "Nothing will be charged twice." in waiting.content.decode()
    assert browser.get("/checkout")["Location"] == "/processing"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"email": ""}, "Type your email address."),
        ({"email": "ana@"}, "This email address is not complete."),
        ({"first_name": " "}, "Type your first name."),
        ({"city": ""}, "Type your city."),
        ({"country": "XX"}, "Select a valid choice."),
        ({"zip": "1" * 21}, "use at most 20 characters"),
        ({"payment_token": ""}, "Choose a card to pay with."),
        ({"line1": "a\x00b"}, "Null characters are not allowed."),
    ],
)
def test_mistakes_are_named_beside_the_field_and_charge_nothing(
    shopper: MakeShopper, typed: dict[str, str], message: str
) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}

    answer = browser.post("/checkout", form | typed)
    page = answer.content.decode()
    [field] = typed

    assert answer.status_code == 422
    assert answer.context["key"] == form["key"]
    assert f'<a href="#id_{field}">' in page
    assert message in page
    assert f'id="id_{field}_error"' in page
    assert ChargeAttempt.objects.count() == 0


@pytest.mark.parametrize("key", ["", "ключ", "k" * 256])
def test_a_broken_key_is_replaced_and_charges_nothing(shopper: MakeShopper, key: str) -> None:
    answer = shopper().pay(key=key)

    assert answer.status_code == 409
    assert answer.context["key"] != key
    assert SandboxCharge.objects.count() == 0


def test_an_order_that_changed_meanwhile_is_shown_before_it_is_paid(shopper: MakeShopper) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}
    browser.post("/start", {"LAMP": "1"})

    answer = browser.post("/checkout", form)

    assert answer.status_code == 409
    assert "Pay 89.00 USD" in answer.content.decode()
    assert SandboxCharge.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_charge_once(
    shopper: MakeShopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SandboxGateway, "latency_seconds", 0.5)
    browser = shopper()
    page = browser.get("/checkout")
    forms = [browser.form(page) | {"payment_token": "tok_approve"} for _ in range(2)]
    forms.append(forms[0] | {"key": "another-tab"})

    def send(form: dict[str, str]) -> str:
        try:
            return browser.post("/checkout", form)["Location"]
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        places = sorted(pool.map(send, forms))

    assert places == ["/processing", "/processing", "/upsell-1"]
    assert SandboxCharge.objects.count() == 1


def test_an_empty_order_leads_back_to_the_products(shopper: MakeShopper) -> None:
    browser = shopper(products=(), amount=None)

    page = browser.get("/checkout").content.decode()
    answer = browser.post("/start", {"SOIL": "1"})

    assert "Your order is empty." in page
    assert "Pay " not in page
    assert answer["Location"] == "/checkout"
    assert "Pay 12.50 USD" in browser.get("/checkout").content.decode()


def test_a_worthless_order_is_not_charged(shopper: MakeShopper) -> None:
    answer = shopper(amount=Decimal(0)).pay()

    assert answer.status_code == 409
    assert "There is nothing to pay for" in answer.content.decode()


@pytest.mark.parametrize(
    "customer",
    [
        None,
        {},
        {"firstName": None, "address": None},
        {"firstName": 5, "address": "1 High St"},
        {"address": {"line1": ["a"], "country": "Narnia"}},
    ],
)
def test_an_imported_customer_may_lack_anything(
    shopper: MakeShopper, customer: dict[str, Any] | None
) -> None:
    browser = shopper(customer=customer)

    assert browser.get("/checkout").status_code == 200
    assert browser.pay()["Location"] == "/upsell-1"


def test_an_imported_order_keeps_its_own_prices_and_total(shopper: MakeShopper) -> None:
    products = (
        Product(id="OLD", quantity=1, price=Decimal(10), name=""),
        Product(id="SOIL", quantity=2, price=None),
    )
    no_price = shopper(products=products, amount=Decimal("31.00"))
    shipped = shopper(
        products=products[:1], amount=Decimal("14.99"), currency="EUR", customer={"x": 1}
    )

    first = no_price.get("/checkout").content.decode()
    second = shipped.get("/checkout").content.decode()

    assert "Pay 31.00 USD" in first
    assert "Living Soil 5L" in first
    assert "Delivery and discounts" not in first
    assert "Pay 14.99 EUR" in second
    assert "+4.99 EUR" in second


def test_an_expired_session_starts_again(shopper: MakeShopper) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}
    UnifiedSession.objects.update(expires_at=get_clock().now())

    assert browser.post("/checkout", form)["Location"] == "/start-again"
    assert SandboxCharge.objects.count() == 0


def test_a_session_deleted_between_page_and_payment(shopper: MakeShopper) -> None:
    browser = shopper()
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}
    get_manager().delete_session(browser.session_id)

    assert browser.post("/checkout", form)["Location"] == "/"


def test_a_gateway_without_a_card_form_says_so(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    settings.FUNNEL = {"GATEWAY": "tests.unit.funnel.storefront.gateways.FormlessGateway"}

    page = shopper().get("/checkout").content.decode()

    assert "cannot take payments at the moment" in page
    assert "Your card is charged once, now." in page


def test_an_order_whose_earlier_payment_is_in_doubt_says_so(shopper: MakeShopper) -> None:
    browser = shopper(status="processing", current_step="processing")
    # The old shop has put the order back, and a person has yet to decide what it charged.
    UnifiedSession.objects.update(status="pending", current_step="checkout")

    answer = browser.pay()

    assert answer.status_code == 409
    assert "We are still checking an earlier payment of this order" in answer.content.decode()
    assert SandboxCharge.objects.count() == 0

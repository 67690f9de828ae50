"""What a receipt says, of our own orders and of imported ones."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.snapshot import FrozenDict, Upsells

if TYPE_CHECKING:
    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db

DONE = {
    "transaction_id": "3029929089",
    "vault_id": "117041394",
    "status": "completed",
    "current_step": "success",
}


def test_the_receipt_of_a_whole_order(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay()
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    browser.answer("/upsell-2", "decline")

    receipt = browser.get("/success").context["receipt"]

    assert [(line.name, line.total) for line in receipt.order.lines] == [
        ("Living Soil 5L", "25.00 USD")
    ]
    assert [(extra.name, extra.price) for extra in receipt.extras] == [("Root Serum", "29.99 USD")]
    assert receipt.total == "54.99 USD"
    assert not receipt.is_total_partial


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"upsell-1-serum": None},
        {"upsell-1-serum": {"amount": None}},
        {"upsell-1-serum": {"amount": "free"}},
        {"upsell-1-serum": {"amount": True}},
        {"upsell-1-serum": {"amount": float("inf")}},
        {"upsell-1-serum": {"amount": 29.99, "currency": "EUR"}},
    ],
)
def test_an_extra_without_a_price_on_record_is_not_given_one(
    shopper: MakeShopper, details: dict[str, Any]
) -> None:
    finite = {k: v for k, v in details.items() if not v or v.get("amount") != float("inf")}
    upsells = Upsells(accepted=("upsell-1-serum", "old-offer"), details=FrozenDict(finite))
    browser = shopper(**DONE, upsells=upsells)

    answer = browser.get("/success")
    page = answer.content.decode()

    assert answer.context["receipt"].total == "25.00 USD"
    assert page.count("charged earlier") == 3
    assert "old-offer" in page


def test_a_receipt_with_nothing_on_record(shopper: MakeShopper) -> None:
    browser = shopper(
        status="completed",
        current_step="success",
        products=(),
        amount=None,
        email=None,
    )

    answer = browser.get("/success")

    assert answer.context["receipt"].total is None
    assert answer.context["receipt"].reference == browser.session_id
    assert '<p class="paid">' not in answer.content.decode()


def test_a_yen_receipt_has_no_cents(shopper: MakeShopper) -> None:
    browser = shopper(**DONE, currency="JPY", amount=Decimal(2500))

    assert browser.get("/success").context["receipt"].total == "2,500 JPY"


def test_what_is_not_known_to_be_paid_is_not_called_charged(shopper: MakeShopper) -> None:
    paid = shopper(**DONE).get("/success").content.decode()
    unpaid = shopper(status="completed", current_step="success").get("/success").content.decode()

    assert "Total charged" in paid
    assert "Total charged" not in unpaid


def given_back(session_id: str, purpose: str, amount: str, **changes: object) -> None:
    attempt = ChargeAttempt.objects.filter(session_id=session_id, purpose=purpose).latest("pk")
    now = get_clock().now()
    given = {"state": "succeeded", "settled_at": now} | changes
    Refund.objects.create(
        attempt=attempt,
        kind="refund",
        amount=Decimal(amount),
        gateway_order_id=f"fr-{Refund.objects.count()}",
        lease_until=now,
        created_at=now,
        **given,
    )


def test_a_receipt_says_what_was_given_back(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay()
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    browser.answer("/upsell-2", "decline")
    given_back(browser.session_id, "checkout", "5")
    given_back(browser.session_id, "upsell:upsell-1-serum", "29.99")
    given_back(browser.session_id, "checkout", "1", state="unknown", settled_at=None)

    answer = browser.get("/success")

    receipt = answer.context["receipt"]
    assert [(each.name, each.amount) for each in receipt.given_back] == [
        ("Your order", "5.00 USD"),
        ("Root Serum", "29.99 USD"),
    ]
    assert (receipt.total, receipt.total_after) == ("54.99 USD", "20.00 USD")
    assert "Total after refunds" in answer.content.decode()
    assert receipt.surplus_given_back is None


def test_a_second_charge_that_was_given_back_is_in_no_total(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay()
    get_manager().expire_session(browser.session_id)  # paid, so it is completed
    order = ChargeAttempt.objects.get(session_id=browser.session_id)
    order.pk, order.gateway_order_id = None, "second"
    order.transaction_id, order.state = "second", "refunded"
    order.save()
    given_back(browser.session_id, "checkout", "25")

    answer = browser.get("/success")

    receipt = answer.context["receipt"]
    assert receipt.given_back == ()
    assert (receipt.total, receipt.total_after) == ("25.00 USD", None)
    assert "charged 25.00 USD too much" in answer.content.decode()


def test_a_receipt_without_refunds_says_nothing_of_them(shopper: MakeShopper) -> None:
    page = shopper(**DONE).get("/success").content.decode()

    assert "given back" not in page
    assert "after refunds" not in page

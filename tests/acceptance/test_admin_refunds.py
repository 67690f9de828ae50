"""An operator gives money back in a real browser, and sees in the books what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.checking import check
from tests.acceptance.test_admin import Shot, a_shopper, quiet_console, shot, signed_in, url_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.conftest import StartWebServer

__all__ = ["quiet_console", "shot"]

GATEWAY = "tests.gateways.ReversingGateway"


def test_an_operator_gives_money_back(page: Page, web_server: StartWebServer, shot: Shot) -> None:
    site = web_server(PAYMENT_GATEWAY=GATEWAY)
    shopper = a_shopper(site)
    admin = signed_in(page, site)
    order, _ = ChargeAttempt.objects.order_by("pk")

    page.goto(url_of(admin, shopper.id))
    page.get_by_role("link", name="Refund Starter Seed Kit of checkout").click()
    shot("refund-line")
    page.get_by_label("Amount").fill("5.00")
    page.get_by_label("Reason").fill("Two of the bags were torn")
    page.get_by_role("button", name="Give back").click()
    expect(page.locator(".messagelist")).to_contain_text("Given back: 5.00 USD.")

    page.get_by_role("link", name="Refund all of upsell:upsell-1-serum").click()
    expect(page.get_by_role("heading", name="29.99 USD goes back")).to_be_visible()
    page.get_by_role("button", name="Give back 29.99 USD").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    shot("refund")
    page.get_by_label("Reason").fill("Never arrived")
    page.get_by_role("button", name="Give back 29.99 USD").click()

    statement = page.get_by_role("region", name="Statement")
    expect(statement.get_by_role("row", name="Total")).to_contain_text("39.99 USD")
    shot("money")
    expect(page.locator("#timeline")).to_contain_text("Charge refunded")
    assert check(order.session_id) == []
    page.goto(f"{admin}/funnel/refund/")
    shot("refunds")
    page.goto(f"{admin}/funnel/moneyentry/")
    shot("moneyentries")

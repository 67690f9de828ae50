"""Somebody tries cards, and is stopped: over HTTP, on the shop's pages, and in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from funnel.payments.models import ChargeAttempt
from tests.live_site import Shopper

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.conftest import StartWebServer
    from tests.live_site import Answer

WIDTHS = {"desktop": 1280, "phone": 390}
PASSWORD = "correct horse battery staple"
TESTER = "192.0.2.1"


class Shot(Protocol):
    def __call__(self, name: str) -> None: ...


@pytest.fixture
def guarded_site(web_server: StartWebServer) -> str:
    """A site behind one proxy, with low limits."""
    return web_server(TRUSTED_PROXIES="1", DECLINES_PER_ADDRESS="3", DECLINES_PER_CARD="0")


@pytest.fixture
def shot(page: Page, screenshot: Callable[[str], None]) -> Shot:
    """Keep the page at both widths; it never scrolls sideways."""

    def take(name: str) -> None:
        for label, wide in WIDTHS.items():
            page.set_viewport_size({"width": wide, "height": 900})
            width = page.evaluate("document.documentElement.scrollWidth")
            screenshot(f"card-testing-{name}-{label}")
            assert width <= wide, f"{name} needs {width} px at {wide}"
        page.set_viewport_size({"width": 1280, "height": 900})

    return take


def seconds_of(answer: Answer) -> int:
    assert answer.is_problem(429, "too_many_declines")
    return int(answer.headers["Retry-After"])


def test_a_tester_behind_a_proxy_is_stopped_whatever_they_send(guarded_site: str) -> None:
    honest = Shopper.start(guarded_site)
    honest.headers["X-Forwarded-For"] = "198.51.100.7"
    assert honest.pay().status == 200

    for number in range(3):
        tester = Shopper.start(guarded_site)
        tester.headers["X-Forwarded-For"] = f"203.0.113.{number}, {TESTER}:{4000 + number}"
        assert tester.pay("tok_decline").status == 402
    tester = Shopper.start(guarded_site)
    tester.headers["X-Forwarded-For"] = f"198.51.100.7, {TESTER}"
    refused = tester.pay("tok_approve", key="k")

    assert 3500 < seconds_of(refused) <= 3600
    honest.headers["X-Forwarded-For"] = TESTER
    assert seconds_of(honest.answer("upsell-1-serum")) <= 3600
    honest.headers["X-Forwarded-For"] = "198.51.100.7"
    assert honest.answer("upsell-1-serum").status == 200
    assert tester.get().json["status"] == "pending"
    assert not ChargeAttempt.objects.filter(session_id=tester.id).exists()


def test_a_shopper_who_was_stopped_is_let_through_again(
    page: Page, guarded_site: str, shot: Shot
) -> None:
    for _ in range(3):
        tester = Shopper.start(guarded_site)
        tester.headers["X-Forwarded-For"] = TESTER
        assert tester.pay("tok_decline").status == 402
        session_id = tester.id
    alone = Shopper.start(guarded_site)
    for number in range(10):
        alone.headers["X-Forwarded-For"] = f"198.51.100.{number}"
        assert alone.pay("tok_decline").status == 402
    alone.headers["X-Forwarded-For"] = "198.51.100.99"
    assert seconds_of(alone.pay()) > 3500
    page.set_extra_http_headers({"X-Forwarded-For": TESTER})
    page.goto(f"{guarded_site}/")
    page.get_by_label("Living Soil 5L").fill("2")
    page.get_by_role("button", name="checkout").click()
    fill_in(page)

    page.get_by_role("button", name="Pay").click()

    expect(page.get_by_role("alert")).to_contain_text("Please wait an hour")
    shot("checkout")
    look_in_the_admin(page, guarded_site, shot, session_id)
    page.goto(f"{guarded_site}/checkout")
    fill_in(page)
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("Your order is paid")).to_be_visible()


def fill_in(page: Page) -> None:
    page.get_by_label("Email").fill("ana@example.org")
    page.get_by_label("First name").fill("Ana")
    page.get_by_label("Address", exact=True).fill("1 High Street")
    page.get_by_label("City").fill("Springfield")
    page.get_by_label("ZIP or postal code").fill("01101")
    page.get_by_label("Visa ending in 1111").check()


def look_in_the_admin(page: Page, site: str, shot: Shot, session_id: str) -> None:
    """See who is stopped, what was declined, and let the address through."""
    User.objects.create_superuser("ada", password=PASSWORD)
    page.goto(f"{site}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Card testing stops").first.click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    expect(page.locator("#result_list")).not_to_contain_text(TESTER)
    shot("list")

    page.locator("#result_list tbody tr", has_text="address").get_by_role("link").click()
    expect(rows).to_have_count(3)
    expect(page.locator("#result_list")).to_contain_text(session_id)
    shot("declines")
    page.go_back()
    page.locator("#result_list tbody tr", has_text="address").get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option("let_through")
    page.get_by_role("button", name="Go", exact=True).click()

    expect(page.get_by_text("One subject is let through again")).to_be_visible()
    shot("let-through")
    page.locator("#changelist-filter").get_by_role("link", name="stopped now").click()
    expect(rows).to_have_count(1)

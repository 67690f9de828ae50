"""Shoppers walk the storefront in a real browser, against a real web server."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import httpx2
import pytest
from playwright.sync_api import expect

from tests.holding import VARIABLE, held_back
from tests.live_site import running_site
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

WIDTHS = {"desktop": 1280, "phone": 390}
NARROWEST = 360
HELD = {"PAYMENT_GATEWAY": "tests.gateways.HeldGateway"}
ORDER = ("checkout", Decimal("25.3000"))
SERUM = ("upsell:upsell-1-serum", Decimal("29.9900"))
SMALL = ("upsell:upsell-1-serum-small", Decimal("12.9900"))


class Shot(Protocol):
    def __call__(self, name: str) -> None: ...


@pytest.fixture
def shop(site: str) -> str:
    return site


@pytest.fixture(scope="module")
def hold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that holds the gateway of `held_shop`."""
    return tmp_path_factory.mktemp("held") / "hold"


@pytest.fixture(scope="module")
def held_site(django_db_setup: None, hold: Path) -> Iterator[str]:
    with running_site(hold.parent, **HELD, **{VARIABLE: str(hold)}) as url:
        yield url


@pytest.fixture
def held_shop(held_site: str, transactional_db: None) -> str:
    return held_site


@pytest.fixture
def shot(page: Page, screenshot: Callable[[str], None]) -> Shot:
    """Keep the page at both widths, and see that nothing sticks out of the narrowest."""

    def take(name: str) -> None:
        page.set_viewport_size({"width": NARROWEST, "height": 780})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= NARROWEST, f"{name} needs {width} px"
        for label, wide in WIDTHS.items():
            page.set_viewport_size({"width": wide, "height": 900})
            screenshot(f"storefront-{name}-{label}")
        page.set_viewport_size({"width": 1280, "height": 900})

    return take


def choose(page: Page, shop: str, **quantities: int) -> None:
    page.goto(shop)
    for name, number in quantities.items():
        page.get_by_label(f"Quantity of {name.replace('_', ' ')}").fill(str(number))
    page.get_by_role("button", name="checkout").click()


def fill(page: Page) -> None:
    page.get_by_label("Email").fill("ana@example.org")
    page.get_by_label("First name").fill("Ana")
    page.get_by_label("Address", exact=True).fill("1 High Street")
    page.get_by_label("City").fill("Springfield")
    page.get_by_label("ZIP or postal code").fill("01101")


def use_card(page: Page, ending: str) -> None:
    page.get_by_label(f"Visa ending in {ending}").check()


def order(page: Page, shop: str, *, card: str = "1111") -> None:
    """Go to the point where one press on Pay is left."""
    choose(page, shop, Living_Soil_5L=2, Clay_Pot=3)
    fill(page)
    use_card(page, card)


def pay(page: Page) -> None:
    page.get_by_role("button", name="Pay").click()


def click_twice(page: Page, selector: str) -> None:
    """Click, and click again while the first answer is on its way; do not wait for either."""
    script = """selector => {
        const click = () => document.querySelector(selector).click();
        setTimeout(click, 0);
        setTimeout(click, 200);
    }"""
    page.evaluate(script, selector)


def charges() -> list[tuple[str, Decimal]]:
    """Return purpose and amount of what the sandbox really charged."""
    from funnel.payments.models import ChargeAttempt
    from funnel.payments.sandbox.models import SandboxCharge

    purposes = dict(ChargeAttempt.objects.values_list("gateway_order_id", "purpose"))
    made = SandboxCharge.objects.order_by("pk").values_list("order_id", "amount")
    return [(purposes[order_id], amount) for order_id, amount in made]


def settle_open_attempts() -> None:
    """Let the sweeper ask the gateway what became of the open attempts; the page is not told."""
    from funnel.payments.recovery.sweeping import sweep
    from tests.sweeps import make_due

    make_due()
    assert sweep()["settled"]


def at(path: str) -> re.Pattern[str]:
    return re.compile(rf"//[^/]+{re.escape(path)}$")


def test_a_shopper_orders_pays_and_takes_extras(shop: str, page: Page, shot: Shot) -> None:
    page.goto(shop)
    shot("1-shop")
    choose(page, shop, Living_Soil_5L=2, Clay_Pot=3)
    expect(page).to_have_url(at("/checkout"))
    shot("2-checkout")
    fill(page)
    use_card(page, "1111")
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))
    expect(page.get_by_text("We charge 29.99 USD to the card you just used.")).to_have_count(2)
    shot("4-upsell-1")
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page).to_have_url(at("/upsell-2"))
    shot("5-upsell-2")
    page.get_by_role("button", name="Add Clip-on Grow Lamp").click()
    expect(page).to_have_url(at("/success"))
    shot("6-success")

    expect(page.get_by_role("row", name="Total charged")).to_contain_text("85.28 USD")
    expect(page.get_by_text("ana@example.org")).to_be_visible()
    assert charges() == [ORDER, SERUM, ("upsell:upsell-2-lamp", Decimal("29.9900"))]


def test_a_shopper_declines_every_extra(shop: str, page: Page) -> None:
    order(page, shop)
    pay(page)
    page.get_by_role("button", name="No thanks, continue").click()
    expect(page.get_by_role("heading", name="Something smaller, perhaps?")).to_be_visible()
    expect(page).to_have_url(at("/upsell-1"))
    page.get_by_role("button", name="No thanks, continue").click()
    expect(page).to_have_url(at("/upsell-2"))
    page.get_by_role("button", name="No thanks, continue").click()

    expect(page).to_have_url(at("/success"))
    expect(page.get_by_role("row", name="Total charged")).to_contain_text("25.30 USD")
    assert charges() == [ORDER]


def test_a_shopper_adds_bumps_and_takes_one_out_again(shop: str, page: Page, shot: Shot) -> None:
    order(page, shop)
    page.get_by_label("City").fill("")  # only paying needs all of it
    for name in ("Slate Labels", "Glass Mister"):
        page.get_by_role("button", name=f"Add to order: {name}").click()
        expect(page.get_by_role("button", name=f"Remove {name}")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Pay 37.70 USD")).to_be_visible()
    expect(page.get_by_label("First name")).to_have_value("Ana")
    shot("2-checkout-bumps")
    page.get_by_role("button", name="Remove Glass Mister").click()
    expect(page.get_by_role("button", name="Pay 30.20 USD")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Pay 30.20 USD")).to_be_visible()
    page.get_by_label("City").fill("Springfield")
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))
    for _ in range(2):
        page.go_back()
        expect(page).to_have_url(re.compile("/upsell-1(#bumps)?$"))

    assert charges() == [("checkout", Decimal("30.2000"))]


def test_enter_in_a_field_pays_and_adds_nothing(shop: str, page: Page) -> None:
    order(page, shop)
    page.get_by_label("City").press("Enter")

    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_nobody_pays_for_a_bump_that_another_tab_added(
    shop: str, page: Page, context: BrowserContext
) -> None:
    order(page, shop)
    other = context.new_page()
    other.goto(f"{shop}/checkout")
    other.get_by_role("button", name="Add to order: Slate Labels").click()
    expect(other.get_by_role("button", name="Pay 30.20 USD")).to_be_visible()
    pay(page)
    expect(page.get_by_role("alert")).to_contain_text("Your order has changed")
    expect(page.get_by_role("button", name="Pay 30.20 USD")).to_be_visible()

    assert charges() == []


def test_a_shopper_takes_the_smaller_offer_after_refusing_the_first(
    shop: str, page: Page, shot: Shot
) -> None:
    order(page, shop)
    pay(page)
    page.get_by_role("button", name="No thanks, continue").click()
    expect(page.get_by_role("heading", name="Something smaller, perhaps?")).to_be_visible()
    shot("4-upsell-1-downsell")
    page.reload()
    page.get_by_role("button", name="Add Root Serum, small bottle").click()
    expect(page).to_have_url(at("/upsell-2"))
    page.get_by_role("button", name="No thanks, continue").click()

    expect(page.get_by_role("row", name="Total charged")).to_contain_text("38.29 USD")
    assert charges() == [ORDER, SMALL]


def test_a_shopper_whose_card_is_declined_for_an_extra_uses_another(
    shop: str, page: Page, shot: Shot
) -> None:
    order(page, shop, card="0341")
    pay(page)
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page.get_by_role("alert")).to_contain_text("the card was declined")
    page.goto(f"{shop}/upsell-1")  # opened anew, it still says so
    expect(page.get_by_role("alert")).to_contain_text("the card was declined")
    page.get_by_role("button", name="Try again with the same card").click()
    expect(page.get_by_role("alert")).to_contain_text("the card was declined")
    use_card(page, "0002")
    page.get_by_role("button", name="Pay 29.99 USD with this card").click()
    expect(page.get_by_role("button", name="Try the card you paid with before")).to_be_visible()
    shot("4-upsell-1-another-card")
    use_card(page, "1111")
    page.get_by_role("button", name="Pay 29.99 USD with this card").click()
    expect(page).to_have_url(at("/upsell-2"))
    page.go_back()
    expect(page).to_have_url(at("/upsell-2"))
    page.get_by_role("button", name="Add Clip-on Grow Lamp").click()

    expect(page).to_have_url(at("/success"))
    assert charges() == [ORDER, SERUM, ("upsell:upsell-2-lamp", Decimal("29.9900"))]


def test_every_page_can_be_refreshed(shop: str, page: Page) -> None:
    def refreshed(path: str) -> None:
        expect(page).to_have_url(at(path))
        heading = page.get_by_role("heading", level=1).inner_text()
        page.reload()
        expect(page).to_have_url(at(path))
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)

    page.goto(shop)
    refreshed("/")
    order(page, shop)
    refreshed("/checkout")
    fill(page)
    use_card(page, "0002")
    pay(page)
    expect(page.get_by_role("alert")).to_be_visible()
    refreshed("/checkout")
    use_card(page, "0101")
    pay(page)
    refreshed("/processing")
    settle_open_attempts()
    refreshed_until_paid = page.get_by_text("Your order is paid")
    expect(refreshed_until_paid).to_be_visible()
    refreshed("/upsell-1")
    for path in ("/upsell-1", "/upsell-2", "/success"):
        page.get_by_role("button", name="No thanks, continue").click()
        refreshed(path)

    assert charges() == [ORDER]


def test_a_declined_shopper_tries_another_card(shop: str, page: Page, shot: Shot) -> None:
    order(page, shop, card="0002")
    with page.expect_response("**/checkout") as declined:
        pay(page)
    expect(page.get_by_role("alert")).to_contain_text("The card was declined. Nothing was charged.")
    expect(page.get_by_label("City")).to_have_value("Springfield")
    shot("3-declined")
    use_card(page, "1111")
    pay(page)

    assert declined.value.status == 402
    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_a_shopper_who_forgets_a_field_is_led_to_it(shop: str, page: Page, shot: Shot) -> None:
    order(page, shop)
    page.locator("form.details").evaluate("form => form.noValidate = true")
    page.get_by_label("Email").fill("ana@")
    page.get_by_label("City").fill("")
    pay(page)
    shot("3-mistakes")
    page.get_by_role("alert").get_by_role("link", name="Type your city.").click()

    expect(page.get_by_label("City")).to_be_focused()
    expect(page.get_by_label("City")).to_have_accessible_description("Type your city.")
    assert charges() == []


def test_a_shopper_clicks_pay_twice(
    held_shop: str, hold: Path, page: Page, context: BrowserContext, shot: Shot
) -> None:
    other = context.new_page()
    order(other, held_shop)
    with held_back(hold):
        click_twice(other, "form.details button")
        wait_for(charges)
        page.goto(f"{held_shop}/checkout")
        expect(page.get_by_role("heading", name="We are confirming your payment")).to_be_visible()
        shot("3-processing")

    # Both go on by themselves.
    expect(other).to_have_url(at("/upsell-1"))
    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_a_shopper_clicks_accept_twice(
    held_shop: str, hold: Path, page: Page, context: BrowserContext, shot: Shot
) -> None:
    other = context.new_page()
    order(other, held_shop)
    pay(other)
    expect(other).to_have_url(at("/upsell-1"))
    with held_back(hold):
        click_twice(other, ".offer:first-child button")
        wait_for(lambda: len(charges()) == 2)
        page.goto(f"{held_shop}/upsell-1")
        expect(page.get_by_text("We are adding Root Serum to your order.")).to_be_visible()
        shot("4-upsell-1-in-flight")

    expect(other).to_have_url(at("/upsell-2"))
    expect(page).to_have_url(at("/upsell-2"))
    assert charges() == [ORDER, SERUM]


def test_a_shopper_goes_back_and_refreshes_after_paying(shop: str, page: Page) -> None:
    order(page, shop)
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))
    page.go_back()
    expect(page).to_have_url(at("/upsell-1"))
    page.reload()
    expect(page).to_have_url(at("/upsell-1"))
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page).to_have_url(at("/upsell-2"))  # going back too soon finds no page to go back from
    page.go_back()
    expect(page).to_have_url(at("/upsell-2"))

    assert charges() == [ORDER, SERUM]


def test_a_shopper_pays_in_two_tabs(shop: str, page: Page, context: BrowserContext) -> None:
    order(page, shop)
    other = context.new_page()
    other.goto(f"{shop}/checkout")
    fill(other)
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))
    pay(other)

    expect(other).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_a_shopper_answers_an_offer_in_two_tabs(
    shop: str, page: Page, context: BrowserContext
) -> None:
    order(page, shop)
    pay(page)
    other = context.new_page()
    other.goto(f"{shop}/upsell-1")
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page).to_have_url(at("/upsell-2"))
    other.get_by_role("button", name="Add Seedling Bundle").click()

    expect(other).to_have_url(at("/upsell-2"))
    assert charges() == [ORDER, SERUM]


def test_nobody_pays_for_an_order_that_another_tab_changed(
    shop: str, page: Page, context: BrowserContext
) -> None:
    order(page, shop)
    other = context.new_page()
    choose(other, shop, Grow_Lamp=1)
    pay(page)
    expect(page.get_by_role("alert")).to_contain_text("Your order has changed")
    expect(page.get_by_role("button", name="Pay 114.30 USD")).to_be_visible()
    use_card(page, "1111")
    pay(page)

    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [("checkout", Decimal("114.3000"))]


def test_a_shopper_comes_back_later(shop: str, page: Page, shot: Shot) -> None:
    choose(page, shop, Living_Soil_5L=2, Clay_Pot=3)
    page.goto(shop)
    expect(page.get_by_text("You have an order in progress: 5 items, 25.30 USD.")).to_be_visible()
    shot("1-shop-order-in-progress")
    page.get_by_role("link", name="Continue to checkout").click()
    fill(page)
    pay(page)
    for path in ("/checkout", "/processing", "/upsell-2", "/success", "/start-again"):
        page.goto(f"{shop}{path}")
        expect(page).to_have_url(at("/upsell-1"))
    page.goto(shop)
    shot("1-shop-paid-order-in-progress")
    page.get_by_role("link", name="Continue your order").click()

    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_a_shopper_without_javascript(shop: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    order(page, shop)
    pay(page)
    page.get_by_role("button", name="Add Root Serum").click()
    page.get_by_role("button", name="No thanks, continue").click()
    url, receipt = page.url, page.inner_text("main")
    context.close()

    assert at("/success").search(url)
    assert "55.29 USD" in receipt
    assert charges() == [ORDER, SERUM]


def test_a_shopper_with_a_keyboard_only(shop: str, page: Page) -> None:
    def to(locator: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({locator!r})"):
                return
        pytest.fail(f"no way to {locator} by Tab")

    page.goto(shop)
    to("a.skip")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    to("#id_SOIL")
    page.keyboard.type("2")
    to("main button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(at("/checkout"))
    typed = {"email": "ana@example.org", "first_name": "Ana", "line1": "1 High Street"}
    for name, text in (typed | {"city": "Springfield", "zip": "01101"}).items():
        to(f"#id_{name}")
        page.keyboard.type(text)
    to("[name=payment_token]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    to(".actions button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(at("/upsell-1"))
    to("main button")
    page.keyboard.press("Space")
    expect(page).to_have_url(at("/upsell-2"))
    to(".decline button")
    page.keyboard.press("Enter")

    expect(page).to_have_url(at("/success"))
    assert charges() == [("checkout", Decimal("25.0000")), SERUM]


def test_an_expired_session_starts_again_with_the_same_products(
    shop: str, page: Page, shot: Shot
) -> None:
    from django.utils import timezone

    from sessions_unified.models import UnifiedSession

    order(page, shop)
    UnifiedSession.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    pay(page)
    expect(page).to_have_url(at("/start-again"))
    expect(page.get_by_role("heading", name="This session has expired")).to_be_visible()
    shot("7-expired")
    page.get_by_role("button", name="Start again with these products").click()
    expect(page).to_have_url(at("/checkout"))
    fill(page)
    pay(page)

    expect(page).to_have_url(at("/upsell-1"))
    assert UnifiedSession.objects.count() == 2
    assert charges() == [ORDER]


def test_a_lost_answer_is_waited_for_and_never_charged_again(
    shop: str, page: Page, shot: Shot
) -> None:
    order(page, shop, card="0101")
    pay(page)
    expect(page).to_have_url(at("/processing"))
    expect(page.get_by_text("Nothing will be charged twice.")).to_be_visible()
    shot("3-processing-unknown")
    page.goto(f"{shop}/checkout")
    expect(page).to_have_url(at("/processing"))
    page.goto(shop)
    expect(page.get_by_role("button")).to_have_count(0)
    page.get_by_role("link", name="See how it stands").click()
    settle_open_attempts()

    expect(page).to_have_url(at("/upsell-1"))
    assert charges() == [ORDER]


def test_a_lost_answer_of_an_extra_does_not_hold_the_order_up(
    shop: str, page: Page, shot: Shot
) -> None:
    order(page, shop, card="0358")
    pay(page)
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page.get_by_text("Your order itself is paid, so you need not wait.")).to_be_visible()
    shot("4-upsell-1-unknown")
    page.get_by_role("button", name="Continue without waiting").click()
    page.get_by_role("button", name="No thanks, continue").click()
    expect(page.get_by_text("still confirming the payment for Root Serum")).to_be_visible()
    shot("6-success-pending-extra")
    settle_open_attempts()
    page.reload()

    expect(page.get_by_role("row", name="Total charged")).to_contain_text("55.29 USD")
    assert charges() == [ORDER, SERUM]


def test_a_declined_extra_leaves_the_order_paid(shop: str, page: Page, shot: Shot) -> None:
    order(page, shop, card="0341")
    pay(page)
    page.get_by_role("button", name="Add Root Serum").click()
    expect(page.get_by_role("alert")).to_contain_text("Your order itself is paid.")
    shot("4-upsell-1-declined")
    for place in ("/upsell-1", "/upsell-2", "/success"):
        page.get_by_role("button", name="No thanks, continue").click()
        expect(page).to_have_url(at(place))

    expect(page).to_have_url(at("/success"))
    assert charges() == [ORDER]


def test_a_one_time_link_opens_the_order_once(shop: str) -> None:
    from sessions_unified import get_manager
    from sessions_unified.links import create_link

    session = get_manager().create_session(email="ana@example.org")
    link = f"{shop}/s/{create_link(session.id, actor='test')}"

    looked = httpx2.head(link)
    fetched_ahead = httpx2.get(link, headers={"Sec-Purpose": "prefetch;prerender"})
    opened = httpx2.get(link)
    again = httpx2.get(link)

    assert (looked.status_code, fetched_ahead.status_code) == (200, 503)
    assert not looked.cookies
    assert not fetched_ahead.cookies
    assert (opened.status_code, opened.headers["Location"]) == (303, "/checkout")
    assert opened.cookies["funnel_session"]
    assert again.status_code == 410
    assert "This link no longer works" in again.text


def test_a_link_opens_in_the_browser_and_is_used_up(shop: str, page: Page, shot: Shot) -> None:
    from sessions_unified import get_manager
    from sessions_unified.links import create_link

    session = get_manager().create_session(
        email="ana@example.org",
        products=[{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 2}],
        amount=Decimal(25),
    )
    link = f"{shop}/s/{create_link(session.id, actor='test')}"
    page.goto(link)
    expect(page).to_have_url(at("/checkout"))
    page.goto(link)
    shot("8-link-used")

    expect(page.get_by_role("link", name="Continue with it")).to_have_attribute("href", "/checkout")


def test_the_pages_in_the_dark(shop: str, page: Page, screenshot: Callable[[str], None]) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(shop)
    screenshot("storefront-dark-1-shop")
    order(page, shop, card="0002")
    pay(page)
    screenshot("storefront-dark-2-declined")

    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(19, 24, 21)"

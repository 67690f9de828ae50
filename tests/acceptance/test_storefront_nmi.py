"""Shoppers pay by card in a real browser: the card's fields are the gateway's, not the shop's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from funnel.payments.nmi.simulator import Simulator, running_simulator
from tests.live_site import running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page, Request

WIDTHS = {"desktop": 1280, "phone": 390}
NARROWEST = 360
APPROVED = "4111 1111 1111 1111"
DECLINED = "4000000000000002"
CHARGED_UNANSWERED = "4000000000000044"
EXTRAS_DECLINED = "4000000000000184"


@pytest.fixture(scope="module")
def nmi() -> Iterator[Simulator]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def nmi_site(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, nmi: Simulator
) -> Iterator[str]:
    variables = nmi_variables(nmi)
    with running_site(tmp_path_factory.mktemp("nmi"), **variables) as url:
        yield url


def nmi_variables(nmi: Simulator) -> dict[str, str]:
    """Return what puts a site on a simulator."""
    return {
        "PAYMENT_GATEWAY": "funnel.payments.nmi.NmiGateway",
        "NMI_URL": nmi.settings["URL"],
        "NMI_COLLECT_URL": nmi.settings["COLLECT_URL"],
        "NMI_SECURITY_KEY": nmi.settings["SECURITY_KEY"],
        "NMI_TOKENIZATION_KEY": nmi.settings["TOKENIZATION_KEY"],
        "NMI_WEBHOOK_KEYS": nmi.webhook_key,
    }


@pytest.fixture
def shop(nmi_site: str, nmi: Simulator, transactional_db: None) -> str:
    nmi.reset()
    return nmi_site


def checkout(page: Page, shop: str) -> None:
    page.goto(shop)
    page.get_by_label("Quantity of Living Soil 5L").fill("2")
    page.get_by_label("Quantity of Clay Pot").fill("3")
    page.get_by_role("button", name="checkout").click()
    page.get_by_label("Email").fill("ana@example.org")
    page.get_by_label("First name").fill("Ana")
    page.get_by_label("Address", exact=True).fill("1 High Street")
    page.get_by_label("City").fill("Springfield")
    page.get_by_label("ZIP or postal code").fill("01101")


def type_card(page: Page, number: str, *, expiry: str = "10/29", cvv: str = "999") -> None:
    for field, text in (("Card number", number), ("Expiry", expiry), ("Security code", cvv)):
        page.frame_locator(f'iframe[title^="{field}"]').get_by_label(field).fill(text)


def pay(page: Page) -> None:
    page.get_by_role("button", name="Pay").click()


def at(path: str) -> re.Pattern[str]:
    return re.compile(rf"//[^/]+{re.escape(path)}$")


def pictures(page: Page, screenshot: Callable[[str], None], name: str) -> None:
    page.set_viewport_size({"width": NARROWEST, "height": 780})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= NARROWEST, f"{name} needs {width} px"
    for label, wide in WIDTHS.items():
        page.set_viewport_size({"width": wide, "height": 900})
        screenshot(f"storefront-nmi-{name}-{label}")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_shopper_pays_by_card_and_the_shop_never_sees_it(
    shop: str, nmi: Simulator, page: Page, screenshot: Callable[[str], None]
) -> None:
    sent: list[Request] = []
    problems: list[str] = []
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108  (playwright marks handlers)
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    checkout(page, shop)
    type_card(page, APPROVED)
    pictures(page, screenshot, "1-checkout")
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))

    [charge] = nmi.charges
    assert (charge.asked, charge.currency, charge.card) == (
        charge.amount,
        "USD",
        "411111******1111",
    )
    to_shop = [request for request in sent if request.url.startswith(shop)]
    posted = [request.post_data or "" for request in to_shop]
    assert any("payment_token=" in body for body in posted)
    assert not any("4111" in body for body in (*posted, *(each.url for each in to_shop)))
    assert problems == []

    page.get_by_role("button", name="Add Root Serum").click()
    expect(page).not_to_have_url(at("/upsell-1"))
    assert len(nmi.charges) == 2
    assert {each.vault_id for each in nmi.charges} == {charge.vault_id}


def test_a_declined_shopper_pays_with_another_card(
    shop: str, nmi: Simulator, page: Page, screenshot: Callable[[str], None]
) -> None:
    checkout(page, shop)
    type_card(page, DECLINED)
    pay(page)
    expect(page.get_by_role("alert").first).to_contain_text("declined")
    assert nmi.charges == []
    pictures(page, screenshot, "2-declined")

    type_card(page, APPROVED)
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))

    assert len(nmi.charges) == 1


def test_an_extra_that_was_declined_is_paid_with_another_card(
    shop: str, nmi: Simulator, page: Page, screenshot: Callable[[str], None]
) -> None:
    checkout(page, shop)
    type_card(page, EXTRAS_DECLINED)
    pay(page)
    page.get_by_role("button", name="Add Root Serum").first.click()
    expect(page.get_by_role("heading", name="Still want Root Serum?")).to_be_visible()
    type_card(page, APPROVED)
    pictures(page, screenshot, "4-another-card")
    page.get_by_role("button", name="with this card").click()
    expect(page).to_have_url(at("/upsell-2"))

    assert [charge.card[-4:] for charge in nmi.charges] == ["0184", "1111"]


def test_a_button_that_does_not_pay_asks_for_no_card(shop: str, nmi: Simulator, page: Page) -> None:
    checkout(page, shop)

    page.get_by_role("button", name="Add to order: Slate Labels").click()

    expect(page.get_by_text("In your order")).to_be_visible()
    type_card(page, APPROVED)
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))
    assert len(nmi.charges) == 1


def test_what_is_wrong_with_a_card_is_said_beside_it_and_nothing_is_sent(
    shop: str, nmi: Simulator, page: Page, screenshot: Callable[[str], None]
) -> None:
    checkout(page, shop)
    type_card(page, "4242", expiry="13/99", cvv="1")
    pay(page)

    expect(page.get_by_text("Type the whole card number.")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was charged")
    expect(page.get_by_role("button", name="Pay")).to_be_enabled()
    pictures(page, screenshot, "3-wrong")
    assert nmi.books.transactions == []

    type_card(page, APPROVED)
    pay(page)
    expect(page).to_have_url(at("/upsell-1"))


def test_what_is_typed_can_be_read_on_a_dark_page(
    shop: str, page: Page, screenshot: Callable[[str], None]
) -> None:
    page.emulate_media(color_scheme="dark")
    checkout(page, shop)
    type_card(page, APPROVED)
    pictures(page, screenshot, "5-dark")

    box = page.locator(".card-box").first
    frame = page.frame_locator('iframe[title="Card number"]').get_by_label("Card number")
    ink, paper = (
        [int(part) for part in re.findall(r"[0-9]+", colour)[:3]]
        for colour in (
            frame.evaluate("input => getComputedStyle(input).color"),
            box.evaluate("box => getComputedStyle(box).backgroundColor"),
        )
    )
    assert sum(ink) - sum(paper) > 400
    # Of one scheme with its page, the frame shows the box behind it.
    scheme = "element => getComputedStyle(element).colorScheme"
    assert box.locator("iframe").evaluate(scheme) == "light"
    assert frame.evaluate(scheme) == "normal"


def test_a_lost_answer_is_a_payment_under_way_not_a_decline(
    shop: str, nmi: Simulator, page: Page
) -> None:
    checkout(page, shop)
    type_card(page, CHARGED_UNANSWERED)
    pay(page)

    expect(page.get_by_role("heading", name="We are confirming your payment")).to_be_visible()
    assert len(nmi.charges) == 1


def test_without_the_gateways_script_the_page_says_so(
    shop: str, nmi: Simulator, page: Page
) -> None:
    page.route("**/Collect.js", lambda route: route.abort())
    checkout(page, shop)
    pay(page)

    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    assert nmi.books.transactions == []

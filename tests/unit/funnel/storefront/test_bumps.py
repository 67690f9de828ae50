"""Order bumps on the checkout's page: added, taken out, and paid with the order."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from funnel.storefront import ordering
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.models import UnifiedSession
from sessions_unified.snapshot import Product

if TYPE_CHECKING:
    from tests.unit.funnel.storefront.conftest import MakeShopper, Shopper

pytestmark = pytest.mark.django_db

POT = Product(id="POT", quantity=100_000, name="Clay Pot", price=Decimal("0.10"))


@pytest.fixture
def browser(shopper: MakeShopper) -> Shopper:
    return shopper()


def send(browser: Shopper, bump: str, **typed: str) -> Any:
    page = browser.get("/checkout")
    return browser.post("/checkout", browser.form(page) | {"bump": bump} | typed)


def choose(browser: Shopper, bump: str, **typed: str) -> Any:
    """Choose, and return the page to which that leads."""
    answer = send(browser, bump, **typed)
    assert (answer.status_code, answer["Location"]) == (303, "/checkout#bumps")
    return browser.get("/checkout")


def products(browser: Shopper) -> list[str]:
    row = UnifiedSession.objects.get(pk=browser.session_id)
    return [product["id"] for product in row.products]


def test_adding_a_bump_shows_the_new_total_with_what_was_typed(browser: Shopper) -> None:
    form = browser.form(browser.get("/checkout"))

    answer = choose(browser, "add:bump-labels", city="Shelby", email="bo@example.org", zip="")
    page = answer.content.decode()

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert "Pay 29.90 USD" in page
    assert 'value="Shelby"' in page
    assert 'value="bo@example.org"' in page
    assert (row.email, row.customer["firstName"]) == ("bo@example.org", "Ana")
    assert answer.context["fingerprint"] != form["order"]
    assert products(browser) == ["SOIL", "bump-labels"]
    assert ChargeAttempt.objects.count() == 0


@pytest.mark.parametrize("typed", [{"email": "not yet"}, {"zip": "1" * 21}])
def test_what_the_session_cannot_hold_is_shown_again_at_once(
    browser: Shopper, typed: dict[str, str]
) -> None:
    form = browser.form(browser.get("/checkout"))
    more = typed | {"city": "Shelby", "payment_token": "tok_decline", "key": form["key"]}

    answer = send(browser, "add:bump-labels", **more)
    page = answer.content.decode()

    [text] = typed.values()
    assert answer.status_code == 200
    assert "Pay 29.90 USD" in page
    assert f'value="{text}"' in page
    assert 'value="Shelby"' in page
    assert 'value="tok_decline" required checked' in page
    assert page.count(" checked") == 1
    assert answer.context["key"] == form["key"]
    assert answer.context["fingerprint"] != form["order"]
    assert products(browser) == ["SOIL", "bump-labels"]
    assert ChargeAttempt.objects.count() == 0


def test_taking_a_bump_out_restores_the_order(browser: Shopper) -> None:
    choose(browser, "add:bump-labels")
    choose(browser, "add:bump-mister")

    page = choose(browser, "remove:bump-labels").content.decode()

    assert "Pay 32.50 USD" in page
    assert products(browser) == ["SOIL", "bump-mister"]


@pytest.mark.parametrize("decision", ["add", "remove"])
def test_sending_a_choice_again_changes_nothing(browser: Shopper, decision: str) -> None:
    first = choose(browser, f"{decision}:bump-labels")
    before = UnifiedSession.objects.get(pk=browser.session_id).version

    again = choose(browser, f"{decision}:bump-labels")

    assert first.context["fingerprint"] == again.context["fingerprint"]
    assert UnifiedSession.objects.get(pk=browser.session_id).version == before


def test_what_is_on_the_button_is_what_is_charged(browser: Shopper) -> None:
    shown = choose(browser, "add:bump-labels")

    answer = browser.post("/checkout", browser.form(shown) | {"payment_token": "tok_approve"})

    attempt = ChargeAttempt.objects.get(purpose="checkout")
    assert answer["Location"] == "/upsell-1"
    assert [str(each.amount) for each in SandboxCharge.objects.all()] == ["29.9000"]
    assert [(line["item"], line["amount"]) for line in attempt.lines] == [
        ("SOIL", "25.00"),
        ("bump-labels", "4.90"),
    ]


def test_a_bump_added_in_another_tab_is_not_charged_unseen(browser: Shopper) -> None:
    form = browser.form(browser.get("/checkout")) | {"payment_token": "tok_approve"}
    choose(browser, "add:bump-labels")

    answer = browser.post("/checkout", form)

    assert answer.status_code == 409
    assert "Pay 29.90 USD" in answer.content.decode()
    assert SandboxCharge.objects.count() == 0


def test_a_bump_stays_when_the_card_is_declined(browser: Shopper) -> None:
    shown = choose(browser, "add:bump-labels")

    answer = browser.post("/checkout", browser.form(shown) | {"payment_token": "tok_decline"})

    assert answer.status_code == 402
    assert "Pay 29.90 USD" in answer.content.decode()
    assert browser.pay()["Location"] == "/upsell-1"
    assert [str(each.amount) for each in SandboxCharge.objects.all()] == ["29.9000"]


@pytest.mark.parametrize("bump", ["add:no-such", "add:upsell-1-serum", "add:LAMP", "add:", "\x00"])
def test_what_is_no_bump_changes_nothing(browser: Shopper, bump: str) -> None:
    answer = send(browser, bump)

    assert answer.status_code == (422 if bump.startswith("add:") else 303)
    assert products(browser) == ["SOIL"]


def test_an_order_that_a_bump_makes_too_large_stays_as_it_was(shopper: MakeShopper) -> None:
    browser = shopper(products=(POT,), amount=Decimal(10_000))

    answer = send(browser, "add:bump-labels")

    assert answer.status_code == 422
    assert "An order cannot be larger than 10000 USD." in answer.content.decode()
    assert products(browser) == ["POT"]


def test_an_order_in_another_currency_has_no_bumps(shopper: MakeShopper) -> None:
    browser = shopper(currency="EUR")

    assert "Add to this order" not in browser.get("/checkout").content.decode()
    assert send(browser, "add:bump-labels").status_code == 422


def test_what_an_imported_order_has_beside_its_lines_stays(shopper: MakeShopper) -> None:
    browser = shopper(amount=Decimal("29.99"))

    choose(browser, "add:bump-labels")
    page = choose(browser, "add:bump-mister").content.decode()

    assert "+4.99 USD" in page
    assert "Pay 42.39 USD" in page


def test_changing_the_products_keeps_the_bumps(browser: Shopper) -> None:
    choose(browser, "add:bump-labels")

    browser.post("/start", {"LAMP": "1"})

    assert products(browser) == ["LAMP", "bump-labels"]
    assert "Pay 93.90 USD" in browser.get("/checkout").content.decode()


def test_starting_again_keeps_the_bumps(browser: Shopper) -> None:
    choose(browser, "add:bump-labels")
    UnifiedSession.objects.update(expires_at=get_clock().now())
    page = browser.get("/start-again")

    browser.post("/start", page.context["wanted"])

    assert page.context["gone"] == []
    assert "29.90 USD" in page.content.decode()
    new = UnifiedSession.objects.order_by("created_at").last()
    assert new is not None
    assert [(p["id"], p["quantity"]) for p in new.products] == [("SOIL", 2), ("bump-labels", 1)]


def test_bumps_alone_are_no_order(browser: Shopper) -> None:
    browser.get("/")

    answer = browser.post("/start", {"bump-labels": "1"})

    assert answer.status_code == 422
    assert "Choose how many you want of at least one product." in answer.content.decode()


def test_a_bump_meets_no_database_and_the_page_stays(
    browser: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(ordering, "choose_bump", fail)

    answer = send(browser, "add:bump-labels", city="Shelby")

    assert answer.status_code == 503
    assert "your order is as it was" in answer.content.decode()
    assert 'value="Shelby"' in answer.content.decode()


def test_a_bump_chosen_while_the_payment_begins_leads_to_where_the_shopper_is(
    browser: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.form(browser.get("/checkout")) | {"bump": "add:bump-labels"}
    plain = ordering.choose_bump

    def late(*args: Any, **options: Any) -> Any:
        UnifiedSession.objects.update(status="processing", current_step="processing", version=9)
        return plain(*args, **options)

    monkeypatch.setattr(ordering, "choose_bump", late)

    answer = browser.post("/checkout", page)

    assert answer["Location"] == "/processing"
    assert products(browser) == ["SOIL"]


def test_nothing_typed_yet_is_not_kept_as_a_customer(shopper: MakeShopper) -> None:
    browser = shopper(customer=None, email=None)

    browser.post("/checkout", {"bump": "add:bump-labels", "country": "US"})

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert (row.customer, row.email) == (None, None)
    assert products(browser) == ["SOIL", "bump-labels"]


def test_the_first_button_of_the_form_pays(browser: Shopper) -> None:
    page = browser.get("/checkout").content.decode()
    form = page[page.index('<form class="details"') :]

    first = form[form.index("<button") : form.index("</button>")]

    assert "bump" not in first
    assert form.count("formnovalidate") == form.count('name="bump"') == 2

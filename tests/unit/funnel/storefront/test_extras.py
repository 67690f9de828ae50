"""The extras' pages and every way in which an answer can end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from funnel.catalog import OFFERS
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from tests.unit.funnel.storefront.conftest import MakeShopper, Shopper

pytestmark = pytest.mark.django_db

PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}
State = ChargeAttempt.State


@pytest.fixture
def browser(shopper: MakeShopper) -> Shopper:
    return shopper(**PAID, status="processing", current_step="upsell-1")


def test_each_offer_says_what_it_costs(browser: Shopper) -> None:
    page = browser.get("/upsell-1").content.decode()

    assert page.count('We charge <span class="money">29.99 USD</span> to the card') == 2
    assert "No thanks, continue" in page


def test_each_offer_has_a_key_of_its_own(browser: Shopper) -> None:
    context = browser.get("/upsell-1").context

    assert len({card.key for card in context["cards"]} | {context["key"]}) == 3


def test_accepting_charges_once_and_goes_on(browser: Shopper) -> None:
    first = browser.answer("/upsell-1", "accept", "upsell-1-serum")
    second = browser.answer("/upsell-2", "accept", "upsell-2-lamp")

    assert (first["Location"], second["Location"]) == ("/upsell-2", "/success")
    assert SandboxCharge.objects.count() == 2


def test_an_extra_whose_price_has_changed_is_shown_again_not_charged(
    browser: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.get("/upsell-1")
    sent = {"key": "k", "order": page.context["fingerprint"], "offer": "upsell-1-serum"}
    dearer = replace(OFFERS["upsell-1-serum"], price=Decimal("39.99"))
    monkeypatch.setitem(OFFERS, "upsell-1-serum", dearer)

    answer = browser.post("/upsell-1", sent | {"decision": "accept"})

    assert answer["Location"] == "/upsell-1"
    assert SandboxCharge.objects.count() == 0


def test_sending_the_same_answer_again_changes_nothing(browser: Shopper) -> None:
    page = browser.get("/upsell-1")
    sent = {"key": "k", "order": page.context["fingerprint"], "offer": "upsell-1-serum"}

    answers = [browser.post("/upsell-1", sent | {"decision": "accept"}) for _ in range(3)]

    assert {answer["Location"] for answer in answers} == {"/upsell-2"}
    assert SandboxCharge.objects.count() == 1


def test_no_thanks_declines_all_of_the_step_and_nothing_of_the_next(browser: Shopper) -> None:
    page = browser.get("/upsell-1")
    sent = {"key": "k", "order": page.context["fingerprint"], "decision": "decline"}

    places = [browser.post("/upsell-1", sent)["Location"] for _ in range(2)]

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert places == ["/upsell-2", "/upsell-2"]
    assert row.upsells["declined"] == ["upsell-1-serum", "upsell-1-bundle"]


def test_a_failed_but_paid_session_goes_on(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="failed", current_step="upsell-1")

    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-2"
    assert browser.answer("/upsell-2", "accept", "upsell-2-lamp")["Location"] == "/success"


@pytest.mark.parametrize("offer", ["", "no-such-offer", "upsell-2-lamp", "\x00"])
def test_an_offer_that_is_not_open_here_is_not_charged(browser: Shopper, offer: str) -> None:
    answer = browser.answer("/upsell-1", "accept", offer)

    assert (answer.status_code, answer["Location"]) == (303, "/upsell-1")
    assert SandboxCharge.objects.count() == 0


@pytest.mark.parametrize(
    "changes", [{"key": ""}, {"key": "ключ"}, {"order": "another"}, {"decision": "perhaps"}]
)
def test_a_broken_answer_shows_the_offers_again(browser: Shopper, changes: dict[str, str]) -> None:
    sent = {"decision": "accept", "offer": "upsell-1-serum"} | changes

    answer = browser.answer("/upsell-1", **sent)

    assert (answer.status_code, answer["Location"]) == (303, "/upsell-1")
    assert SandboxCharge.objects.count() == 0


def test_a_long_key_declines_all_the_same(browser: Shopper) -> None:
    answer = browser.answer("/upsell-1", "decline", key="k" * 255)

    assert answer["Location"] == "/upsell-2"


def test_a_declined_charge_shows_the_offers_again(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_decline")

    answer = browser.answer("/upsell-1", "accept", "upsell-1-serum")
    page = answer.content.decode()

    assert answer.status_code == 402
    assert "Root Serum could not be charged: the card was declined." in page
    assert "Add Root Serum" in page
    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-2"


@pytest.mark.parametrize(
    ("state", "refresh", "can_leave"),
    [(State.CLAIMED, "2", False), (State.UNKNOWN, "5", True), (State.NEEDS_REVIEW, "60", True)],
)
def test_an_open_charge_is_waited_for(
    shopper: MakeShopper, state: str, refresh: str, can_leave: bool
) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_timeout_charged")
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    ChargeAttempt.objects.filter(purpose="upsell:upsell-1-serum").update(state=state)

    answer = browser.get("/upsell-1")
    page = answer.content.decode()

    assert answer["Refresh"] == refresh
    assert "Nothing will be charged twice." in page
    assert "Root Serum" in page
    assert "Add Root Serum" not in page
    assert ("Continue without waiting" in page) is can_leave


def test_nobody_leaves_a_step_whose_charge_is_in_flight(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_timeout_charged")
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    ChargeAttempt.objects.filter(purpose="upsell:upsell-1-serum").update(state=State.CLAIMED)

    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-1"


def test_a_step_whose_charges_process_died_may_be_left_when_its_lease_ends(
    shopper: MakeShopper,
) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_timeout_charged")
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    ChargeAttempt.objects.filter(purpose="upsell:upsell-1-serum").update(
        state=State.CLAIMED, lease_until=get_clock().now()
    )

    page = browser.get("/upsell-1").content.decode()

    assert "Continue without waiting" in page
    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-2"


def test_a_card_that_the_books_lack_is_said(browser: Shopper) -> None:
    ChargeAttempt.objects.filter(session_id=browser.session_id).update(vault_id=None)

    answer = browser.answer("/upsell-1", "accept", "upsell-1-serum")

    assert answer.status_code == 409
    assert "There is no stored card for this order" in answer.content.decode()

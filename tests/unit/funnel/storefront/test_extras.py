"""The extras' pages and every way in which an answer can end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from funnel.catalog import OFFERS
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from funnel.storefront import extras
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
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

    assert len({card.key for card in context["offers"]} | {context["key"]}) == 3


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
    assert places == ["/upsell-1", "/upsell-1"]
    assert row.upsells["declined"] == ["upsell-1-serum", "upsell-1-bundle"]


def test_a_downsell_follows_and_is_declined_only_where_it_was_shown(browser: Shopper) -> None:
    browser.answer("/upsell-1", "decline")
    page = browser.get("/upsell-1")
    sent = {"key": "k", "order": page.context["fingerprint"], "decision": "decline"}

    places = [browser.post("/upsell-1", sent)["Location"] for _ in range(2)]

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert "Something smaller, perhaps?" in page.content.decode()
    assert [card.offer.id for card in page.context["offers"]] == ["upsell-1-serum-small"]
    assert places == ["/upsell-2", "/upsell-2"]
    assert row.upsells["declined"] == ["upsell-1-serum", "upsell-1-bundle", "upsell-1-serum-small"]


def test_a_downsell_is_charged_at_its_own_price(browser: Shopper) -> None:
    browser.answer("/upsell-1", "decline")

    answer = browser.answer("/upsell-1", "accept", "upsell-1-serum-small")

    assert answer["Location"] == "/upsell-2"
    assert [str(charge.amount) for charge in SandboxCharge.objects.all()] == ["12.9900"]


def test_a_failed_but_paid_session_goes_on(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="failed", current_step="upsell-1")

    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-1"
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


CARD_DATA = {
    **dict.fromkeys(("card_fingerprint", "card", "note", "key", "offer"), "4111 1111 1111 1111"),
    "cvv": "123",
}


@pytest.mark.parametrize("field", CARD_DATA)
@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_an_answer_with_card_data_is_refused_whole(
    browser: Shopper, decision: str, field: str
) -> None:
    given = {"offer": "upsell-1-serum", field: CARD_DATA[field]}

    answer = browser.answer("/upsell-1", decision, **given)

    assert answer.status_code == 422
    assert "looks like card data, so nothing was charged" in answer.content.decode()
    assert "4111 1111" not in answer.content.decode()
    assert not ChargeAttempt.objects.filter(step="upsell-1").exists()
    assert browser.get("/upsell-1").status_code == 200  # declined nothing either


def test_a_long_key_declines_all_the_same(browser: Shopper) -> None:
    browser.answer("/upsell-1", "decline", key="k" * 255)
    answer = browser.answer("/upsell-1", "decline", key="k" * 255)

    assert answer["Location"] == "/upsell-2"


def test_a_declined_charge_shows_the_offers_again(shopper: MakeShopper) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_decline")

    answer = browser.answer("/upsell-1", "accept", "upsell-1-serum")
    page = browser.get("/upsell-1").content.decode()

    assert (answer.status_code, answer["Location"]) == (303, "/upsell-1")
    assert "Root Serum could not be charged: the card was declined." in page
    assert "Try again with the same card" in page
    assert "Use another card" in page
    assert "Add Seedling Bundle" in page
    assert browser.answer("/upsell-1", "decline")["Location"] == "/upsell-1"
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
    since = get_clock().now() if state == State.NEEDS_REVIEW else None
    ChargeAttempt.objects.filter(purpose="upsell:upsell-1-serum").update(
        state=state, review_since=since
    )

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
    page = answer.content.decode()

    assert answer.status_code == 409
    assert "There is no stored card for this order" in page
    assert "Use another card" in page
    assert "Try again with the same card" not in page


ANOTHER = {"card": "another", "payment_token": "tok_approve"}


@pytest.fixture
def refused(shopper: MakeShopper) -> Shopper:
    """Return a shopper whose card paid the order and was declined for an extra."""
    browser = shopper()
    browser.pay("tok_approve_upsell_decline")
    browser.answer("/upsell-1", "accept", "upsell-1-serum")
    return browser


def test_a_refused_extra_is_paid_with_another_card_and_so_are_those_after_it(
    refused: Shopper,
) -> None:
    first = refused.answer("/upsell-1", "accept", "upsell-1-serum", **ANOTHER)
    second = refused.answer("/upsell-2", "accept", "upsell-2-lamp")

    charges = SandboxCharge.objects.order_by("pk")
    assert (first["Location"], second["Location"]) == ("/upsell-2", "/success")
    assert [each.card for each in charges] == ["tok_approve_upsell_decline", *["tok_approve"] * 2]
    assert charges[0].vault_id != charges[1].vault_id == charges[2].vault_id


def test_a_refusal_is_still_said_when_the_page_is_opened_again(refused: Shopper) -> None:
    page = refused.get("/upsell-1")

    assert page.status_code == 200
    assert "Root Serum could not be charged: the card was declined." in page.content.decode()
    assert page.context["retry"].offer.id == "upsell-1-serum"
    assert [card.offer.id for card in page.context["offers"]] == ["upsell-1-bundle"]


def test_a_refused_extra_tried_again_with_the_same_card_is_refused_again(
    refused: Shopper,
) -> None:
    answer = refused.answer("/upsell-1", "accept", "upsell-1-serum")

    assert answer["Location"] == "/upsell-1"
    assert "Try again with the same card" in refused.get("/upsell-1").content.decode()
    assert ChargeAttempt.objects.filter(state=State.DECLINED).count() == 2


def test_another_card_that_is_refused_too_leaves_the_first_as_a_way(refused: Shopper) -> None:
    declined = ANOTHER | {"payment_token": "tok_decline"}

    answer = refused.answer("/upsell-1", "accept", "upsell-1-serum", **declined)
    page = refused.get("/upsell-1").content.decode()

    assert answer["Location"] == "/upsell-1"
    assert "Try the card you paid with before" in page
    assert SandboxCharge.objects.count() == 1


def test_each_way_to_try_again_has_a_key_of_its_own(refused: Shopper) -> None:
    context = refused.get("/upsell-1").context
    retry = context["retry"]

    keys = {retry.stored_key, retry.other_key, context["key"], context["offers"][0].key}

    assert len(keys) == 4


@pytest.mark.parametrize("token", ["", "t" * 256])
def test_a_card_form_without_a_usable_token_charges_no_card_at_all(
    browser: Shopper, token: str
) -> None:
    sent = {"card": "another", "payment_token": token}

    answer = browser.answer("/upsell-1", "accept", "upsell-1-serum", **sent)

    assert answer.status_code == 422
    assert "Choose a card to pay with." in answer.content.decode()
    assert ChargeAttempt.objects.filter(step="upsell-1").count() == 0


def test_a_refused_extra_that_is_let_go_is_not_asked_for_again(refused: Shopper) -> None:
    refused.answer("/upsell-1", "decline")

    page = refused.get("/upsell-1")

    assert page.context["retry"] is None
    assert "could not be charged" not in page.content.decode()


def test_who_leaves_an_extra_in_doubt_is_offered_nothing_in_its_place(
    shopper: MakeShopper,
) -> None:
    browser = shopper()
    browser.pay("tok_approve_upsell_timeout_charged")
    browser.answer("/upsell-1", "accept", "upsell-1-serum")

    answer = browser.answer("/upsell-1", "decline")

    row = UnifiedSession.objects.get(pk=browser.session_id)
    assert answer["Location"] == "/upsell-2"
    assert "upsell-1-serum-small" not in row.upsells["declined"]


def test_an_answer_that_met_no_database_is_sent_again_under_its_key(
    browser: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(extras, "process_upsell", fail)
        answer = browser.answer("/upsell-1", "accept", "upsell-1-serum", key="kept")
    page = answer.content.decode()

    assert answer.status_code == 503
    assert '<input type="hidden" name="key" value="kept"' in page
    assert '<input type="hidden" name="offer" value="upsell-1-serum"' in page
    assert page.count("csrfmiddlewaretoken") <= 1

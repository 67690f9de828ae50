"""Every visitor lands on the one page that is theirs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.snapshot import Upsells

if TYPE_CHECKING:
    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db

PAGES = ["/checkout", "/processing", "/upsell-1", "/upsell-2", "/success", "/start-again"]
PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}


@pytest.mark.parametrize(
    ("fields", "page"),
    [
        ({}, "/checkout"),
        ({"status": "pending", "current_step": "upsell-1"}, "/start-again"),
        ({"status": "failed"}, "/start-again"),
        ({"status": "failed", "current_step": "upsell-2"}, "/start-again"),
        ({"status": "expired"}, "/start-again"),
        ({"status": "processing", "current_step": "processing"}, "/processing"),
        ({"status": "processing"}, "/processing"),
        ({"status": "processing", "current_step": "upsell-2"}, "/processing"),
        (PAID, "/upsell-1"),
        (PAID | {"status": "processing", "current_step": "processing"}, "/upsell-1"),
        (PAID | {"status": "processing", "current_step": "upsell-2"}, "/upsell-2"),
        (PAID | {"status": "failed", "current_step": "upsell-1"}, "/upsell-1"),
        (PAID | {"status": "completed", "current_step": "upsell-1"}, "/success"),
        (PAID | {"status": "completed", "current_step": "success"}, "/success"),
        ({"status": "completed", "current_step": "success"}, "/success"),
        (PAID | {"status": "processing", "current_step": "success"}, "/success"),
        (
            PAID
            | {
                "status": "processing",
                "current_step": "upsell-2",
                "upsells": Upsells(accepted=("upsell-2-lamp",)),
            },
            "/success",
        ),
        (
            PAID
            | {
                "status": "failed",
                "current_step": "upsell-1",
                "upsells": Upsells(declined=("upsell-1-serum", "upsell-1-bundle")),
            },
            "/upsell-1",  # the old shop had no downsell
        ),
        (
            PAID
            | {
                "status": "failed",
                "current_step": "upsell-1",
                "upsells": Upsells(
                    declined=("upsell-1-serum", "upsell-1-bundle", "upsell-1-serum-small")
                ),
            },
            "/upsell-2",
        ),
        (
            {
                "status": "processing",
                "current_step": "upsell-1",
                "transaction_id": "1",
                "vault_id": None,
            },
            "/success",
        ),
        (
            PAID | {"status": "processing", "current_step": "upsell-1", "currency": "EUR"},
            "/success",
        ),
    ],
)
def test_every_page_leads_to_the_sessions_own(
    shopper: MakeShopper, fields: dict[str, Any], page: str
) -> None:
    browser = shopper(**fields)

    answers = {url: browser.get(url) for url in PAGES}

    assert answers.pop(page).status_code == 200
    assert {(a.status_code, a["Location"]) for a in answers.values()} == {(303, page)}


@pytest.mark.parametrize("url", PAGES)
def test_without_a_session_every_page_leads_to_the_shop(url: str) -> None:
    answer = Client().get(url)

    assert (answer.status_code, answer["Location"]) == (303, "/")


def test_a_broken_cookie_is_as_none() -> None:
    browser = Client()
    browser.cookies["funnel_session"] = "broken"

    assert browser.get("/checkout")["Location"] == "/"
    assert browser.get("/").status_code == 200


def test_a_deleted_session_is_forgotten(shopper: MakeShopper) -> None:
    browser = shopper()
    get_manager().delete_session(browser.session_id)

    answer = browser.get("/checkout")

    assert answer["Location"] == "/"
    assert answer.cookies["funnel_session"].value == ""


def test_leading_on_is_recorded_once_and_charges_nothing(shopper: MakeShopper) -> None:
    upsells = Upsells(accepted=("upsell-1-serum",))
    browser = shopper(**PAID, status="processing", current_step="upsell-1", upsells=upsells)

    browser.get("/upsell-1")
    browser.get("/upsell-1")

    row = UnifiedSession.objects.get(pk=browser.session_id)
    events = SessionEvent.objects.filter(session_id=browser.session_id, actor="shopper")
    assert (row.status, row.current_step) == ("processing", "upsell-2")
    assert [event.data["step"] for event in events] == [["upsell-1", "upsell-2"]]


def test_a_visit_keeps_an_idle_session_alive(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="processing", current_step="upsell-1")
    browser.get("/upsell-1")
    past = get_clock().now() - timedelta(minutes=1)
    UnifiedSession.objects.filter(pk=browser.session_id).update(expires_at=past)

    assert browser.get("/upsell-1").status_code == 200


def test_an_idle_paid_session_ends_at_its_receipt(shopper: MakeShopper) -> None:
    browser = shopper(**PAID, status="processing", current_step="upsell-1")
    past = get_clock().now() - timedelta(minutes=1)
    UnifiedSession.objects.filter(pk=browser.session_id).update(expires_at=past)

    assert browser.get("/upsell-1")["Location"] == "/success"

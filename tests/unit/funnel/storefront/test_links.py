"""One-time links: once, for whoever comes first, and gently for everyone after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client

from sessions_unified.clock import get_clock
from sessions_unified.links import create_link
from sessions_unified.models import SessionLink

if TYPE_CHECKING:
    from tests.unit.funnel.storefront.conftest import MakeShopper

pytestmark = pytest.mark.django_db

PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}


def link_to(session_id: str) -> str:
    return f"/s/{create_link(session_id, actor='test')}"


def test_a_link_leads_to_the_sessions_own_step(shopper: MakeShopper) -> None:
    link = link_to(shopper(**PAID, status="failed", current_step="upsell-1").session_id)
    browser = Client()

    answer = browser.get(link)

    assert (answer.status_code, answer["Location"]) == (303, "/upsell-1")
    assert answer["Referrer-Policy"] == "no-referrer"
    assert browser.get("/upsell-1").status_code == 200


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose", "X-Moz"])
def test_looking_ahead_does_not_use_it_up(shopper: MakeShopper, header: str) -> None:
    link = link_to(shopper().session_id)
    browser = Client()

    ahead = browser.get(link, headers={header: "prefetch;prerender"})
    looked = browser.head(link)

    assert (ahead.status_code, looked.status_code) == (503, 200)
    assert not browser.cookies
    assert browser.get(link)["Location"] == "/checkout"


def test_a_used_link_says_so(shopper: MakeShopper) -> None:
    link = link_to(shopper().session_id)
    browser = Client()
    browser.get(link)

    again = browser.get(link)
    elsewhere = Client().get(link)

    assert (again.status_code, elsewhere.status_code) == (410, 410)
    assert 'href="/checkout"' in again.content.decode()
    assert "ask the shop for a new link" in elsewhere.content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_wins(shopper: MakeShopper) -> None:
    link = link_to(shopper().session_id)

    def follow(_: int) -> int:
        try:
            return Client().get(link).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(follow, range(4)))

    assert statuses == [303, 410, 410, 410]


@pytest.mark.parametrize("days_ago", [0, 30])
def test_an_ended_session_offers_its_products_and_nothing_else(
    shopper: MakeShopper, days_ago: int
) -> None:
    then = get_clock().now() - timedelta(days=days_ago)
    link = link_to(shopper(created_at=then, expires_at=then).session_id)
    browser = Client()

    first = browser.get(link)
    again = browser.get(link).content.decode()
    started = browser.post("/start", {"SOIL": "2"})

    assert first.status_code == 200
    assert "funnel_session" not in first.cookies
    assert "This session has expired" in again
    assert '<input type="hidden" name="SOIL" value="2"' in again
    assert started["Location"] == "/checkout"


def test_a_held_session_outlives_its_end_and_so_does_its_token(shopper: MakeShopper) -> None:
    then = get_clock().now() - timedelta(days=30)
    held = shopper(status="processing", current_step="processing", created_at=then, expires_at=then)
    browser = Client()

    answer = browser.get(link_to(held.session_id))

    assert answer["Location"] == "/processing"
    assert "We are checking your payment" in browser.get("/processing").content.decode()


def test_a_link_to_nothing_says_so() -> None:
    assert Client().get(link_to("ws_gone_1")).status_code == 410
    assert Client().get("/s/never-made").status_code == 410


def test_a_link_past_its_time_says_so(shopper: MakeShopper) -> None:
    link = link_to(shopper().session_id)
    SessionLink.objects.update(expires_at=get_clock().now())

    assert Client().get(link).status_code == 410

"""Every shopper of the old shop's sample goes on where they were, and pays nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from legacy_adapters import sample_world
from legacy_adapters.conf import get_adapter
from legacy_adapters.migration.backfill.whole import backfill
from sessions_unified.clock import get_clock
from sessions_unified.links import create_link
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db
MOST_STEPS = 8


@pytest.fixture
def imported() -> list[UnifiedSession]:
    adapter: Any = get_adapter("database")
    sample_world.load(adapter.table, now=get_clock().now())
    backfill(adapter, tiers=get_tiers())
    return list(UnifiedSession.objects.order_by("pk"))


def pay(browser: Client, page: Any) -> Any:
    initial = page.context["form"].initial
    typed = {
        "email": "ana@example.org",
        "first_name": "Ana",
        "line1": "1 High St",
        "city": "Springfield",
        "zip": "10000",
    }
    hidden = {"key": page.context["key"], "order": page.context["fingerprint"]}
    kept = {name: text for name, text in initial.items() if text}
    return browser.post("/checkout", typed | kept | hidden | {"payment_token": "tok_approve"})


def accept(browser: Client, page: Any) -> Any:
    card = page.context["offers"][0]
    hidden = {"key": card.key, "order": page.context["fingerprint"]}
    url = page.request["PATH_INFO"]
    return browser.post(url, hidden | {"decision": "accept", "offer": card.offer.id})


ACTIONS: dict[str, Callable[[Client, Any], Any]] = {
    "/checkout": pay,
    "/upsell-1": accept,
    "/upsell-2": accept,
}


def walk(link: str) -> list[str]:
    """Follow the link and do at each page what a willing buyer does; return the pages."""
    browser = Client()
    answer = browser.get(link)
    pages: list[str] = []
    if answer.status_code == 200:
        assert "wanted" in answer.context
        return ["ended"]
    for _ in range(MOST_STEPS):
        assert answer.status_code == 303, (pages, answer.content.decode())
        url = answer["Location"]
        page = browser.get(url)
        pages.append(url)
        assert page.status_code == 200, (pages, page.get("Location"))
        act = ACTIONS.get(url)
        if act is None:
            return pages
        answer = act(browser, page)
    pytest.fail(f"There is no end: {pages}")


def test_every_imported_shopper_comes_to_an_end(imported: list[UnifiedSession]) -> None:
    links = {row.pk: f"/s/{create_link(row.pk, actor='test')}" for row in imported}
    paid = {row.pk for row in imported if row.transaction_id}
    taken = {row.pk: set(row.upsells.get("accepted", ())) for row in imported}

    walks = {session_id: walk(link) for session_id, link in links.items()}

    charged = ChargeAttempt.objects.filter(
        gateway_order_id__in=SandboxCharge.objects.values_list("order_id")
    )
    again = {(one.session_id, one.purpose.removeprefix("upsell:")) for one in charged}
    assert {pages[-1] for pages in walks.values()} == {
        *("/success", "/processing", "/start-again", "ended")
    }
    assert not again & {(session_id, "checkout") for session_id in paid}
    assert not again & {(session_id, offer) for session_id in taken for offer in taken[session_id]}
    assert {walks[session_id][0] for session_id in paid} == {
        *("/upsell-1", "/upsell-2", "/success", "ended")
    }

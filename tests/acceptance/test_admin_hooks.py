"""An operator sees in a browser what was not handed on, mends it, and delivers it again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from tests.charges import start
from tests.hook_receiver import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.conftest import StartWebServer

PASSWORD = "correct horse battery staple"


def deliveries(session_id: str, *states: str) -> list[HookDelivery]:
    """Write what was told, and not told, of a session."""
    now = get_clock().now()
    facts: dict[str, Any] = {"purpose": "upsell:upsell-1-serum", "amount": "29.99"}
    kinds = ["upsell_paid", "session_completed", "refunded"]
    return [
        HookDelivery.objects.create(
            target="webhook",
            event_id=f"evt_{session_id}_{seq}_{kind}",
            type=kind,
            session_id=session_id,
            seq=seq,
            facts=facts | {"currency": "USD", "outcome": "succeeded"},
            state=state,
            tries={"failed": 16, "delivered": 1}.get(state, 0),
            last_error="answered 502" if state == "failed" else "",
            next_try_at=now + timedelta(seconds=0 if state == "failed" else 600),
            occurred_at=now - timedelta(hours=5 - seq),
            created_at=now - timedelta(hours=5 - seq),
            delivered_at=now if state == "delivered" else None,
        )
        for seq, (kind, state) in enumerate(zip(kinds, states, strict=False), start=2)
    ]


@pytest.fixture
def admin(web_server: StartWebServer, page: Page) -> str:
    base = web_server(ORDER_HOOK_URL="https://example.com/orders", ORDER_HOOK_SECRET=SECRET)
    User.objects.create_superuser("ada", password=PASSWORD)
    page.goto(f"{base}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    return f"{base}/admin"


def test_an_operator_delivers_a_failed_order_again(
    page: Page, admin: str, screenshot: Callable[[str], None]
) -> None:
    failed, waiting, _ = deliveries(start(), "failed", "pending", "pending")
    deliveries(start(), "delivered", "delivered", "pending")

    page.goto(f"{admin}/funnel/hookdelivery/")
    expect(page.get_by_text("One delivery has failed in all tries.")).to_be_visible()
    expect(page.get_by_text("Waits behind a failed one of its session").first).to_be_visible()
    shoot(page, screenshot, "hooks-list")
    page.get_by_role("link", name="Show failed").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_role("button", name="Deliver again")).to_be_visible()
    shoot(page, screenshot, "hooks-one")
    page.get_by_role("button", name="Deliver again").click()

    expect(page.get_by_text("1 delivery is due again")).to_be_visible()
    expect(page.get_by_role("button", name="Deliver again")).to_have_count(0)
    failed.refresh_from_db()
    waiting.refresh_from_db()
    assert (failed.state, failed.tries) == ("pending", 0)
    assert waiting.tries == 0


def shoot(page: Page, screenshot: Callable[[str], None], name: str) -> None:
    """Keep the page at both widths; it never scrolls sideways on a phone."""
    for label, wide in {"desktop": 1280, "phone": 390}.items():
        page.set_viewport_size({"width": wide, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= wide, f"{name} {label}"
        screenshot(f"admin-{name}-{label}")
    page.set_viewport_size({"width": 1280, "height": 900})

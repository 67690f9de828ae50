"""An operator decides on a charge in review, in a real browser."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from funnel.payments import settling
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery.reviewing import closable_at
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from tests.acceptance.test_admin import own_admin, own_site, quiet_console, shot, signed_in
from tests.live_site import Shopper

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.acceptance.test_admin import Shot

__all__ = ["own_admin", "own_site", "quiet_console", "shot", "signed_in"]


@pytest.fixture
def attempt(own_site: str) -> ChargeAttempt:
    """Return a charge whose answer was lost, and which nobody could find out about."""
    shopper = Shopper.start(own_site, products=[{"id": "SOIL", "quantity": 2}])
    assert shopper.pay("tok_timeout_charged").status == 202
    found = ChargeAttempt.objects.get()
    doubt = Receipt(
        outcome=Outcome.SUCCEEDED, amount=found.amount, reason="Approved, without a transaction"
    )
    settling.settle(get_manager(), found.pk, doubt)
    found.refresh_from_db()
    return found


def test_an_operator_settles_a_charge_with_its_transaction(
    page: Page, own_admin: str, attempt: ChargeAttempt, shot: Shot
) -> None:
    page.goto(f"{own_admin}/")
    shot("review-index")
    page.get_by_role("link", name="1 charge waits for a decision").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    shot("review-list")
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_role("status")).to_contain_text("A person has to decide")
    shot("review-attempt")
    page.get_by_role("link", name="Decide").click()
    executed = page.get_by_role("region", name="It was executed")
    executed.get_by_label("Transaction id").fill("12345")
    executed.get_by_label("Reason").fill("Seen in the gateway's list")
    executed.get_by_role("button", name="Settle with this transaction").click()
    expect(executed).to_contain_text("The gateway knows no transaction 12345.")
    shot("review-refused")
    executed.get_by_label("Transaction id").fill(SandboxCharge.objects.get().transaction_id)
    executed.get_by_role("button", name="Settle with this transaction").click()

    expect(page.locator(".messagelist")).to_contain_text("Settled with transaction")
    expect(page.locator(".field-resolved_by")).to_contain_text("ada")
    shot("review-done")


def test_an_operator_closes_what_was_not_executed(
    page: Page, own_admin: str, attempt: ChargeAttempt, shot: Shot
) -> None:
    SandboxCharge.objects.all().delete()
    page.goto(f"{own_admin}/funnel/chargeattempt/{attempt.pk}/review/")
    not_executed = page.get_by_role("region", name="It was not executed")
    expect(not_executed).to_contain_text(f"Possible from {closable_at(attempt):%Y-%m-%d %H:%M}")
    expect(not_executed.get_by_role("button")).to_have_count(0)
    long_ago = get_clock().now() - timedelta(hours=2)
    ChargeAttempt.objects.update(review_since=long_ago, discrepancy="", response={})
    page.reload()
    shot("review-close")
    not_executed.get_by_label("Reason").fill("Not in the gateway's list of that day")
    not_executed.get_by_role("button", name="Close as not executed").click()

    expect(page.locator(".messagelist")).to_contain_text("Decided: the charge is declined")

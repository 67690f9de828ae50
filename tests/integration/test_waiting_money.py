"""What waits for a person is found: by the doctor, a scrape, and the admin's first page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from funnel.hooks.models import HookDelivery
from funnel.payments import doctor, metrics
from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund
from sessions_unified.clock import get_clock
from sessions_unified.doctor.findings import Status
from sessions_unified.tiers import get_tiers
from tests.charges import State, pay, start
from tests.gateways import ReversingGateway, taking
from tests.refunds import order_of, refund

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]


@pytest.fixture(autouse=True)
def gateway(settings: SettingsWrapper) -> Iterator[type[ReversingGateway]]:
    yield from taking(ReversingGateway, settings)


def charge_in_review() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_uncharged")
    rows = ChargeAttempt.objects.filter(session_id=session_id)
    rows.update(state=State.NEEDS_REVIEW, review_since=get_clock().now() - timedelta(minutes=5))


def refund_in_review() -> None:
    session_id = start()
    pay(session_id)
    row = refund(order_of(session_id))
    Refund.objects.filter(pk=row.pk).update(
        state=Refund.State.NEEDS_REVIEW,
        settled_at=None,
        transaction_id=None,
        review_since=get_clock().now() - timedelta(minutes=5),
    )


def failed_delivery() -> None:
    now = get_clock().now()
    HookDelivery.objects.create(
        target="webhook",
        event_id="evt_1",
        type="session_completed",
        session_id="ws_1_1",
        seq=1,
        state=HookDelivery.State.FAILED,
        next_try_at=now,
        occurred_at=now,
        created_at=now,
    )


def first_page(*codenames: str) -> str:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client.get("/admin/").content.decode()


def test_with_nothing_to_do_the_doctor_is_content() -> None:
    found = doctor.CHECK.look()

    assert (found.status, found.text) == (Status.OK, "0 under way or unknown")


def test_the_doctor_names_charges_and_refunds_in_review() -> None:
    charge_in_review()
    refund_in_review()

    found = doctor.CHECK.look()

    assert found.status is Status.WARN
    assert found.text == "in review: charges 1, refunds 1"
    assert found.runbook.endswith("#charges-in-review")


def test_of_a_refund_alone_the_doctor_names_its_runbook() -> None:
    refund_in_review()

    assert doctor.CHECK.look().runbook.endswith("#refunds-in-review")


def test_the_doctor_warns_of_what_nobody_has_found_out() -> None:
    pay(start(), "tok_timeout_uncharged")
    young = doctor.CHECK.look()
    ChargeAttempt.objects.update(created_at=get_clock().now() - timedelta(hours=2))

    old = doctor.CHECK.look()

    assert (young.status, young.text) == (Status.OK, "1 under way or unknown")
    assert (old.status, old.text) == (
        Status.WARN,
        "1 under way or unknown, the oldest for 120 min",
    )
    assert old.runbook.endswith("#charges-unknown")


def test_a_scrape_counts_refunds_in_review() -> None:
    refund_in_review()

    found = {(what.name, *labels): value for what, labels, value in metrics.measure(get_tiers())}

    assert found["funnel_open_refunds", "needs_review"] == 1
    assert found["funnel_open_refunds", "unknown"] == 0
    assert 300 <= found["funnel_oldest_open_refund_seconds", "needs_review"] < 400


def test_the_admins_first_page_leads_to_all_that_waits() -> None:
    charge_in_review()
    refund_in_review()
    failed_delivery()

    page = first_page("view_chargeattempt", "view_refund", "view_hookdelivery")

    assert "1 charge waits for a decision" in page
    assert "1 refund waits for a decision" in page
    assert "1 hook delivery failed in all tries" in page
    assert "/admin/funnel/refund/?state__exact=needs_review" in page


def test_the_first_page_tells_nobody_of_what_they_may_not_see() -> None:
    charge_in_review()
    refund_in_review()
    failed_delivery()

    page = first_page("view_unifiedsession")

    assert "for a decision" not in page
    assert "failed in all tries" not in page

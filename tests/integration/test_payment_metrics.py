"""What a scrape says of the payments."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from funnel.payments import metrics
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery.sweeping import sweep
from sessions_unified.clock import get_clock
from sessions_unified.monitoring import exposition
from sessions_unified.tiers import get_tiers
from tests.charges import State, pay, start
from tests.sweeps import make_due

if TYPE_CHECKING:
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]


def measured() -> dict[tuple[str, ...], float]:
    samples = metrics.measure(get_tiers())
    return {(measure.name, *labels): value for measure, labels, value in samples}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_open_charges_are_counted_with_the_age_of_the_oldest() -> None:
    for _ in range(2):
        pay(start(), "tok_timeout_uncharged")
    an_hour_ago = get_clock().now() - timedelta(hours=1)
    oldest = ChargeAttempt.objects.order_by("pk").first()
    assert oldest is not None
    ChargeAttempt.objects.filter(pk=oldest.pk).update(created_at=an_hour_ago)

    found = measured()

    assert found["funnel_open_charges", "unknown"] == 2
    assert found["funnel_open_charges", "claimed"] == 0
    assert 3600 <= found["funnel_oldest_open_charge_seconds", "unknown"] < 3700
    assert found["funnel_oldest_open_charge_seconds", "needs_review"] == 0


def test_a_charge_in_review_is_as_old_as_its_review() -> None:
    pay(start(), "tok_timeout_uncharged")
    now = get_clock().now()
    ChargeAttempt.objects.update(
        state=State.NEEDS_REVIEW,
        created_at=now - timedelta(days=2),
        review_since=now - timedelta(minutes=5),
    )

    found = measured()

    assert 300 <= found["funnel_oldest_open_charge_seconds", "needs_review"] < 400


def test_a_scrape_shows_them() -> None:
    exposition._database.forget()

    text = exposition.exposition().decode()

    assert 'funnel_open_charges{state="needs_review"}' in text
    assert "funnel_unhandled_gateway_events" in text


def test_charges_and_questions_are_counted(gateway: type[ScriptedGateway]) -> None:
    succeeded = {"gateway": "sandbox", "state": "succeeded"}
    settled = {"gateway": "sandbox", "result": "settled"}
    before = counted("funnel_charges_total", **succeeded)
    asked = counted("funnel_gateway_questions_total", **settled)

    pay(start(), "tok_timeout_charged")
    make_due()
    sweep()

    assert counted("funnel_charges_total", **succeeded) == before + 1
    assert counted("funnel_gateway_questions_total", **settled) == asked + 1

"""What a shopper sees whose payment is not tried: a page that says so, with nothing lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from funnel.exceptions import TooManyDeclinesError
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox import SandboxGateway
from funnel.payments.sandbox.models import SandboxCharge
from funnel.storefront import stopped

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.unit.funnel.storefront.conftest import MakeShopper


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "wait a minute,"),
        (60, "wait a minute,"),
        (61, "wait 2 minutes,"),
        (59 * 60, "wait 59 minutes,"),
        (59 * 60 + 1, "wait an hour,"),
        (3600, "wait an hour,"),
        (3601, "wait 2 hours,"),
        (86_400, "wait 24 hours,"),
    ],
)
def test_the_time_is_said_so_that_people_do_not_come_too_early(seconds: int, text: str) -> None:
    assert text in stopped.text(TooManyDeclinesError(retry_after=seconds))


@pytest.mark.django_db
def test_the_checkout_is_shown_again_with_what_was_typed(
    shopper: MakeShopper, settings: SettingsWrapper
) -> None:
    settings.FUNNEL = settings.FUNNEL | {"DECLINES_PER_SESSION": 1}
    browser = shopper()
    browser.pay("tok_decline")

    page = browser.pay("tok_approve", first_name="Beatriz")

    assert page.status_code == 429
    assert 3590 < int(page["Retry-After"]) <= 3600
    assert page["Cache-Control"] == "no-store"
    text = page.content.decode()
    assert "this one was not tried and nothing was charged" in text
    assert "Beatriz" in text
    assert not re.search(r'value="tok_\w+"[^>]* checked', text)
    assert ChargeAttempt.objects.count() == 1
    assert SandboxCharge.objects.count() == 0


@pytest.mark.django_db
def test_an_extra_is_not_charged_and_can_still_be_declined(
    shopper: MakeShopper, settings: SettingsWrapper, paid: dict[str, str]
) -> None:
    settings.FUNNEL = settings.FUNNEL | {"DECLINES_PER_ADDRESS": 1}
    shopper().pay("tok_decline")
    browser = shopper(**paid, status="processing", current_step="upsell-1")

    page = browser.answer("/upsell-1", "accept", "upsell-1-serum")

    assert page.status_code == 429
    assert int(page["Retry-After"]) > 3590
    assert "this one was not tried and nothing was charged" in page.content.decode()
    assert SandboxCharge.objects.count() == 0
    assert browser.answer("/upsell-1", "decline").status_code == 303


@pytest.mark.django_db
def test_the_cards_fingerprint_of_the_form_is_counted(
    shopper: MakeShopper, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SandboxGateway, "fingerprint", lambda _, __, claimed: claimed)
    settings.FUNNEL = settings.FUNNEL | {"DECLINES_PER_CARD": 1}

    answers = [shopper().pay("tok_decline", card_fingerprint=each) for each in ("f1", "f1", "f2")]

    assert [answer.status_code for answer in answers] == [402, 429, 402]

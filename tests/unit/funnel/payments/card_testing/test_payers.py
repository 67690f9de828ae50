"""Who pays, out of a request: what the gateway tells of a card, not what the browser claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.test import RequestFactory

from funnel.payments.card_testing.payers import payer_of
from funnel.payments.payer import Payer
from funnel.payments.sandbox import SandboxGateway

if TYPE_CHECKING:
    import pytest
    from pytest_django.fixtures import SettingsWrapper


def test_the_gateway_tells_the_card_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SandboxGateway, "fingerprint", lambda _, token, claimed: f"{token}/{claimed}"
    )
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.1")

    payer = payer_of(request, payment_token="tok", claimed="word")

    assert payer == Payer(address="192.0.2.1", fingerprint="tok/word")


def test_the_stored_card_has_no_fingerprint_whatever_is_claimed() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.1")

    assert payer_of(request, claimed="word") == Payer(address="192.0.2.1")


def test_an_empty_claim_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SandboxGateway, "fingerprint", lambda _, __, claimed: claimed)
    request = RequestFactory().post("/", REMOTE_ADDR="")

    assert payer_of(request, payment_token="tok", claimed="") == Payer()


def test_proxies_are_read_as_set(settings: SettingsWrapper) -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.1")

    assert payer_of(request).address == "10.0.0.1"
    settings.FUNNEL = settings.FUNNEL | {"TRUSTED_PROXIES": 1}
    assert payer_of(request).address == "192.0.2.1"

"""The sandbox keeps the gateway's contract; the site finds the gateway that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction

from funnel.checks import check_gateway, check_production
from funnel.payments.gateway import PaymentGateway, get_gateway
from funnel.payments.sandbox import SandboxGateway
from funnel.payments.sandbox.gateway import CARDS
from funnel.payments.sandbox.models import SandboxCharge
from tests.contracts.gateway import GatewayContract, sale
from tests.gateways import ScriptedGateway

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


@pytest.mark.django_db
class TestSandbox(GatewayContract):
    approved = "tok_approve"
    declined = "tok_decline"
    lost = "tok_timeout_charged"
    lost_uncharged = "tok_timeout_uncharged"

    @pytest.fixture
    def gateway(self) -> PaymentGateway:
        return SandboxGateway()

    def test_it_is_deterministic(self, gateway: PaymentGateway) -> None:
        wanted = sale("tok_approve")
        first = gateway.sale(wanted)
        SandboxCharge.objects.all().delete()

        assert gateway.sale(wanted) == first

    def test_it_never_charges_one_order_id_twice(self, gateway: PaymentGateway) -> None:
        wanted = sale("tok_approve")
        gateway.sale(wanted)

        with pytest.raises(IntegrityError), transaction.atomic():
            gateway.sale(wanted)

        assert SandboxCharge.objects.count() == 1

    def test_a_card_may_behave_otherwise_when_it_is_charged_later(
        self, gateway: PaymentGateway
    ) -> None:
        first = sale("tok_approve_upsell_decline")

        assert gateway.sale(first).outcome.value == "succeeded"
        assert gateway.sale(sale(None, vault_id=first.vault_id)).outcome.value == "declined"

    def test_an_imported_shoppers_vault_is_charged(self, gateway: PaymentGateway) -> None:
        assert gateway.sale(sale(None, vault_id="old-vault")).outcome.value == "succeeded"

    def test_its_form_offers_every_card(self, gateway: PaymentGateway) -> None:
        assert gateway.card_context() == {"cards": CARDS}
        assert gateway.takes_money is False


def test_the_gateway_is_the_one_that_the_settings_name(settings: SettingsWrapper) -> None:
    assert type(get_gateway()) is SandboxGateway

    settings.FUNNEL = {"GATEWAY": "tests.gateways.ScriptedGateway"}

    assert type(get_gateway()) is ScriptedGateway


@pytest.mark.parametrize(
    ("funnel", "wanted"),
    [
        ({}, []),
        ({"GATEWAY": "nowhere.Gateway"}, ["funnel.E001"]),
        ({"GATEWAY": "funnel.catalog.price"}, ["funnel.E001"]),
        ({"GATEWAY": "funnel.catalog.Offer"}, ["funnel.E001"]),
        ({"LEASE_SECONDS": 5}, ["funnel.E002"]),
        ({"LEASE_SECONDS": 6}, []),
    ],
)
def test_e001_e002_a_wrong_gateway_or_too_short_a_lease_is_found(
    settings: SettingsWrapper, funnel: dict[str, object], wanted: list[str]
) -> None:
    settings.FUNNEL = funnel

    assert [message.id for message in check_gateway()] == wanted


def test_w001_a_sandbox_in_production_is_pointed_out() -> None:
    assert [message.id for message in check_production()] == ["funnel.W001"]

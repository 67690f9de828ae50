"""The `nmi` gateway keeps the contract, over HTTP, against the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from funnel.payments.gateway import Outcome, PaymentGateway
from funnel.payments.nmi import NmiGateway
from funnel.payments.nmi.simulator import Simulator, running_simulator
from tests.contracts.gateway import GatewayContract, sale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper


class TestNmi(GatewayContract):
    approved = "4111111111111111"
    declined = "4000000000000002"
    lost = "4000000000000044"
    lost_uncharged = "4000000000000069"

    @pytest.fixture(autouse=True)
    def simulator(self) -> Iterator[Simulator]:
        with running_simulator() as simulator:
            self._simulator = simulator
            yield simulator

    @pytest.fixture
    def gateway(self, simulator: Simulator, settings: SettingsWrapper) -> PaymentGateway:
        settings.FUNNEL = {"NMI": simulator.settings}
        return NmiGateway()

    def token(self, card: str) -> str:
        return self._simulator.token(card)

    def test_the_books_agree_with_the_receipts(
        self, gateway: PaymentGateway, simulator: Simulator
    ) -> None:
        first = sale(self.token(self.approved))
        gateway.sale(first)
        gateway.sale(sale(None, amount="29.99", vault_id=first.vault_id))
        gateway.sale(sale(self.token(self.declined)))

        assert [str(charge.amount) for charge in simulator.charges] == ["25.00", "29.99"]
        assert {charge.vault_id for charge in simulator.charges} == {first.vault_id}

    def test_a_settled_sale_is_refunded_not_voided(
        self, gateway: PaymentGateway, simulator: Simulator
    ) -> None:
        refund = self.reversal(gateway, sale(self.token(self.approved)), "25.00")
        void = self.reversal(gateway, sale(self.token(self.approved)), is_void=True)
        simulator.books.settle()

        assert gateway.reverse(void).outcome is not Outcome.SUCCEEDED
        assert gateway.reverse(refund).outcome is Outcome.SUCCEEDED
        assert [str(each.amount) for each in simulator.books.refunds] == ["25.00"]

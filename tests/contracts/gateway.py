"""What every payment gateway keeps, whoever takes the money behind it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from decimal import Decimal

import pytest

from funnel.payments.gateway import Outcome, PaymentGateway, Receipt, Sale


def sale(payment_token: str | None, *, amount: str = "25.00", vault_id: str = "") -> Sale:
    """Return a sale with identifiers of its own."""
    return Sale(
        order_id=f"fs-{secrets.token_hex(12)}",
        amount=Decimal(amount),
        currency="USD",
        vault_id=vault_id or f"v{secrets.token_hex(12)}",
        payment_token=payment_token,
        customer={"firstName": "Ana", "lastName": "M"},
        email="ana@example.org",
    )


class GatewayContract(ABC):
    """The role `PaymentGateway`; a subclass says which gateway and which of its test tokens."""

    approved: str
    declined: str
    lost: str
    lost_uncharged: str

    @pytest.fixture
    @abstractmethod
    def gateway(self) -> PaymentGateway:
        """Return the gateway, in its test mode."""

    def test_a_success_names_its_transaction_and_what_was_charged(
        self, gateway: PaymentGateway
    ) -> None:
        receipt = gateway.sale(sale(self.approved))

        assert receipt.outcome is Outcome.SUCCEEDED
        assert receipt.transaction_id
        assert receipt.amount in {None, Decimal("25.00")}
        assert receipt.currency in {None, "USD"}

    def test_two_sales_are_two_transactions(self, gateway: PaymentGateway) -> None:
        first, second = (gateway.sale(sale(self.approved)) for _ in range(2))

        assert first.transaction_id != second.transaction_id

    def test_a_decline_is_an_answer_and_charges_nothing(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.declined)

        receipt = gateway.sale(wanted)

        assert receipt.outcome is Outcome.DECLINED
        assert receipt.transaction_id is None or gateway.query(wanted.order_id) != receipt
        assert self.charged(gateway.query(wanted.order_id)) is False

    def test_an_unknown_token_is_rejected_or_declined(self, gateway: PaymentGateway) -> None:
        receipt = gateway.sale(sale("tok_nonsense"))

        assert receipt.outcome in {Outcome.DECLINED, Outcome.REJECTED}

    def test_a_lost_answer_raises_or_is_unknown_and_can_be_asked_for(
        self, gateway: PaymentGateway
    ) -> None:
        for token, charged in ((self.lost, True), (self.lost_uncharged, False)):
            wanted = sale(token)

            assert self.outcome(gateway, wanted) is Outcome.UNKNOWN
            assert self.charged(gateway.query(wanted.order_id)) is charged

    def test_what_is_asked_for_later_is_what_was_answered(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.approved)
        receipt = gateway.sale(wanted)

        found = gateway.query(wanted.order_id)

        assert found is not None
        assert (found.outcome, found.transaction_id) == (receipt.outcome, receipt.transaction_id)
        assert found.amount in {None, Decimal("25.00")}

    def test_an_order_it_never_saw_is_inconclusive(self, gateway: PaymentGateway) -> None:
        assert gateway.query("fs-never-sent") is None

    def test_the_vault_that_the_first_sale_filled_is_charged_later(
        self, gateway: PaymentGateway
    ) -> None:
        first = sale(self.approved)
        gateway.sale(first)

        later = gateway.sale(sale(None, amount="29.99", vault_id=first.vault_id))

        assert later.outcome is Outcome.SUCCEEDED
        assert later.amount in {None, Decimal("29.99")}

    def test_no_receipt_and_no_sale_shows_what_opens_a_card(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.approved)

        shown = repr(gateway.sale(wanted)) + repr(wanted) + str(wanted)

        assert self.approved not in shown
        assert wanted.vault_id not in shown
        assert "ana@example.org" not in shown

    def test_it_says_how_it_is_called_and_how_long_it_takes(self, gateway: PaymentGateway) -> None:
        assert gateway.name.isidentifier()
        assert 0 < gateway.timeout_seconds < 60

    @staticmethod
    def outcome(gateway: PaymentGateway, wanted: Sale) -> Outcome:
        try:
            return gateway.sale(wanted).outcome
        except Exception:  # noqa: BLE001  (whatever it raises means unknown)
            return Outcome.UNKNOWN

    @staticmethod
    def charged(receipt: Receipt | None) -> bool:
        return receipt is not None and receipt.outcome is Outcome.SUCCEEDED

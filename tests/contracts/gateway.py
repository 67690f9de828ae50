"""What every payment gateway keeps, whoever takes the money behind it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar

import pytest

from funnel.payments.gateway import Outcome, PaymentGateway, Receipt, Reversal, Sale


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


def reversal_of(receipt: Receipt, amount: str = "25.00", *, is_void: bool = False) -> Reversal:
    """Return a reversal of a sale, with an order id of its own."""
    assert receipt.transaction_id is not None
    return Reversal(
        order_id=f"fr-{secrets.token_hex(12)}",
        transaction_id=receipt.transaction_id,
        amount=Decimal(amount),
        currency="USD",
        is_void=is_void,
    )


class GatewayContract(ABC):
    """The role `PaymentGateway`; a subclass says which gateway and which of its test cards."""

    approved: str
    declined: str
    lost: str
    lost_uncharged: str

    @pytest.fixture
    @abstractmethod
    def gateway(self) -> PaymentGateway:
        """Return the gateway, in its test mode."""

    def token(self, card: str) -> str:
        """Return a fresh payment token of a test card."""
        return card

    def test_a_success_names_its_transaction_and_what_was_charged(
        self, gateway: PaymentGateway
    ) -> None:
        receipt = gateway.sale(sale(self.token(self.approved)))

        assert receipt.outcome is Outcome.SUCCEEDED
        assert receipt.transaction_id
        assert receipt.amount in {None, Decimal("25.00")}
        assert receipt.currency in {None, "USD"}

    def test_two_sales_are_two_transactions(self, gateway: PaymentGateway) -> None:
        first, second = (gateway.sale(sale(self.token(self.approved))) for _ in range(2))

        assert first.transaction_id != second.transaction_id

    def test_a_decline_is_an_answer_and_charges_nothing(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.token(self.declined))

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
        for card, charged in ((self.lost, True), (self.lost_uncharged, False)):
            wanted = sale(self.token(card))

            assert self.outcome(gateway, wanted) is Outcome.UNKNOWN
            assert self.charged(gateway.query(wanted.order_id)) is charged

    def test_what_is_asked_for_later_is_what_was_answered(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.token(self.approved))
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
        first = sale(self.token(self.approved))
        gateway.sale(first)

        later = gateway.sale(sale(None, amount="29.99", vault_id=first.vault_id))

        assert later.outcome is Outcome.SUCCEEDED
        assert later.amount in {None, Decimal("29.99")}

    def test_no_receipt_and_no_sale_shows_what_opens_a_card(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.token(self.approved))

        shown = repr(gateway.sale(wanted)) + repr(wanted) + str(wanted)

        assert self.approved not in shown
        assert wanted.vault_id not in shown
        assert "ana@example.org" not in shown

    def test_a_transaction_is_found_by_its_id_and_names_its_order(
        self, gateway: PaymentGateway
    ) -> None:
        wanted = sale(self.token(self.approved))
        receipt = gateway.sale(wanted)
        assert receipt.transaction_id is not None

        found = gateway.query_transaction(receipt.transaction_id)

        assert found is not None
        assert (found.outcome, found.order_id) == (Outcome.SUCCEEDED, wanted.order_id)
        assert (found.amount, found.currency) == (Decimal("25.00"), "USD")
        assert gateway.query_transaction("999999999") is None

    def test_a_void_gives_all_of_a_sale_back_once(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.token(self.approved))
        void = self.reversal(gateway, wanted, is_void=True)
        assert not self.charged(gateway.query_reversal(void))

        done = gateway.reverse(void)
        again = gateway.reverse(replace(void, order_id="fr-again"))

        assert done.outcome is Outcome.SUCCEEDED
        assert again.outcome is not Outcome.SUCCEEDED
        assert self.charged(gateway.query_reversal(void))
        found = gateway.query(wanted.order_id)
        assert found is not None
        assert found.outcome is Outcome.VOIDED

    def test_a_sale_can_be_refunded_in_parts_but_not_beyond_it(
        self, gateway: PaymentGateway
    ) -> None:
        wanted = sale(self.token(self.approved))
        first = self.reversal(gateway, wanted, "20.00")
        rest = replace(first, order_id=f"{first.order_id}-rest", amount=Decimal("5.00"))
        more = replace(first, order_id=f"{first.order_id}-more", amount=Decimal("5.01"))

        outcomes = [gateway.reverse(each).outcome for each in (first, more, rest, more)]

        assert outcomes[::2] == [Outcome.SUCCEEDED] * 2
        assert set(outcomes[1::2]) <= self.refused
        assert [self.charged(gateway.query_reversal(each)) for each in (first, rest, more)] == [
            True,
            True,
            False,
        ]
        assert self.charged(gateway.query(wanted.order_id))

    def test_a_refund_that_was_asked_for_is_found_with_its_own_ids(
        self, gateway: PaymentGateway
    ) -> None:
        wanted = sale(self.token(self.approved))
        refund = self.reversal(gateway, wanted, "7.50")
        assert gateway.query_reversal(refund) is None

        done = gateway.reverse(refund)
        found = gateway.query_reversal(refund)

        assert found is not None
        assert found.transaction_id == done.transaction_id != refund.transaction_id
        assert (found.amount, found.currency) == (Decimal("7.50"), "USD")
        assert found.order_id == refund.order_id

    def test_a_refunded_sale_cannot_be_voided(self, gateway: PaymentGateway) -> None:
        wanted = sale(self.token(self.approved))
        refund = self.reversal(gateway, wanted, "1.00")
        gateway.reverse(refund)

        void = replace(refund, order_id="fr-void", amount=Decimal("25.00"), is_void=True)

        assert gateway.reverse(void).outcome is not Outcome.SUCCEEDED
        assert not self.charged(gateway.query_reversal(void))

    def test_a_sale_that_never_was_gives_nothing_back(self, gateway: PaymentGateway) -> None:
        self.need_reversals(gateway)
        nothing = Receipt(outcome=Outcome.SUCCEEDED, transaction_id="999999999")

        for is_void in (True, False):
            assert gateway.reverse(reversal_of(nothing, is_void=is_void)).outcome in self.refused

    def test_two_tokens_of_one_card_have_one_fingerprint(self, gateway: PaymentGateway) -> None:
        tokens = [self.token(self.approved) for _ in range(2)]

        found = {gateway.fingerprint(token, "as-the-browser-said") for token in tokens}

        assert len(found) == 1
        assert not found & {*tokens, None}

    def test_it_says_how_it_is_called_and_how_long_it_takes(self, gateway: PaymentGateway) -> None:
        assert gateway.name.isidentifier()
        assert 0 < gateway.timeout_seconds < 60

    refused: ClassVar = {Outcome.DECLINED, Outcome.REJECTED}

    @staticmethod
    def need_reversals(gateway: PaymentGateway) -> None:
        if not gateway.supports_reversals:
            pytest.skip(f"{gateway.name} gives no money back")

    def reversal(
        self, gateway: PaymentGateway, wanted: Sale, amount: str = "25.00", *, is_void: bool = False
    ) -> Reversal:
        """Make a sale, and return how to give it back."""
        self.need_reversals(gateway)
        return reversal_of(gateway.sale(wanted), amount, is_void=is_void)

    @staticmethod
    def outcome(gateway: PaymentGateway, wanted: Sale) -> Outcome:
        try:
            return gateway.sale(wanted).outcome
        except Exception:  # noqa: BLE001  (whatever it raises means unknown)
            return Outcome.UNKNOWN

    @staticmethod
    def charged(receipt: Receipt | None) -> bool:
        return receipt is not None and receipt.outcome is Outcome.SUCCEEDED

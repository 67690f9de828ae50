"""The sandbox gateway: a payment token says what becomes of the charge."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from funnel.payments.gateway import Outcome, PaymentGateway, Receipt, Reversal, Sale
from funnel.payments.sandbox import reversing
from funnel.payments.sandbox.models import SandboxCharge, SandboxReversal


class SandboxTimeoutError(Exception):
    """The sandbox did not answer in time, as its payment token asked."""


@dataclass(frozen=True, kw_only=True)
class TestCard:
    """A payment token and what becomes of its charges.

    Attributes:
        label: how the card form names it.
        first: what the first sale does: approve, decline, timeout_charged, timeout_uncharged.
        later: what later sales of the stored card do.

    """

    __test__ = False  # not a pytest class

    label: str
    first: str
    later: str = "approve"


CARDS: Final = {
    "tok_approve": TestCard(label="Visa ending in 1111: approved", first="approve"),
    "tok_decline": TestCard(label="Visa ending in 0002: declined", first="decline"),
    "tok_timeout_charged": TestCard(
        label="Visa ending in 0101: charged, but the answer is lost", first="timeout_charged"
    ),
    "tok_timeout_uncharged": TestCard(
        label="Visa ending in 0119: the answer is lost and nothing is charged",
        first="timeout_uncharged",
    ),
    "tok_approve_upsell_decline": TestCard(
        label="Visa ending in 0341: approved, extras declined", first="approve", later="decline"
    ),
    "tok_approve_upsell_timeout_charged": TestCard(
        label="Visa ending in 0358: approved, extras charged with the answer lost",
        first="approve",
        later="timeout_charged",
    ),
}


class SandboxGateway(PaymentGateway):
    """Charges nobody. ``SandboxCharge`` is what it remembers to have charged.

    It never settles anything, so a charge can be voided as long as nothing of it was refunded.
    """

    name: ClassVar[str] = "sandbox"
    takes_money: ClassVar[bool] = False
    supports_reversals: ClassVar[bool] = True
    timeout_seconds: ClassVar[float] = 5
    card_template: ClassVar[str] = "storefront/cards/sandbox.html"

    # How long a sale takes, in seconds; tests make it longer to meet a charge in flight.
    latency_seconds: ClassVar[float] = 0.0

    def sale(self, sale: Sale) -> Receipt:
        """Do what the sale's card says."""
        if self.latency_seconds:
            time.sleep(self.latency_seconds)
        token = sale.payment_token or self._stored_card(sale.vault_id)
        card = CARDS.get(token or "")
        if card is None or token is None:
            return Receipt(outcome=Outcome.REJECTED, reason="Unknown payment token")
        behaviour = card.first if sale.payment_token else card.later
        if behaviour == "decline":
            return Receipt(outcome=Outcome.DECLINED, reason="DECLINE", response={"code": "200"})
        if behaviour == "timeout_uncharged":
            raise SandboxTimeoutError
        receipt = self._charge(sale, token)
        if behaviour == "timeout_charged":
            raise SandboxTimeoutError
        return receipt

    def query(self, order_id: str) -> Receipt | None:
        """Return the charge of an order id."""
        charge = SandboxCharge.objects.filter(order_id=order_id).first()
        return None if charge is None else _receipt(charge)

    def query_transaction(self, transaction_id: str) -> Receipt | None:
        """Return the charge of a transaction id."""
        charge = SandboxCharge.objects.filter(transaction_id=transaction_id).first()
        return None if charge is None else _receipt(charge)

    def reverse(self, reversal: Reversal) -> Receipt:
        """Give money back, as far as there is some."""
        return reversing.reverse(reversal, transaction_id=_transaction_id(reversal.order_id))

    def query_reversal(self, reversal: Reversal) -> Receipt | None:
        """Return the reversal of an order id."""
        made = SandboxReversal.objects.filter(order_id=reversal.order_id).first()
        return None if made is None else reversing.receipt_of(made)

    def fingerprint(self, payment_token: str, claimed: str | None) -> str | None:
        """Return a hash of the test card that a token stands for."""
        if payment_token not in CARDS:
            return claimed
        return hashlib.sha256(f"sandbox card {payment_token}".encode()).hexdigest()[:32]

    def card_context(self) -> dict[str, Any]:
        """Return the test cards."""
        return {"cards": CARDS}

    @staticmethod
    def _stored_card(vault_id: str) -> str | None:
        first = SandboxCharge.objects.filter(vault_id=_digest(vault_id)).order_by("pk").first()
        if first is not None:
            return first.card
        # The vault of an imported shopper: the card that the old shop stored.
        return "tok_approve"

    @staticmethod
    def _charge(sale: Sale, token: str) -> Receipt:
        charge = SandboxCharge.objects.create(
            order_id=sale.order_id,
            transaction_id=_transaction_id(sale.order_id),
            vault_id=_digest(sale.vault_id),
            card=token,
            amount=sale.amount,
            currency=sale.currency,
        )
        return _receipt(charge)


def _digest(vault_id: str) -> str:
    """Return what the sandbox knows a stored card by: no vault id is kept in the clear."""
    return hashlib.sha256(vault_id.encode()).hexdigest()


def _transaction_id(order_id: str) -> str:
    """Return a made-up number of twelve digits, the same for the same order."""
    digest = hashlib.sha256(order_id.encode()).hexdigest()
    return str(int(digest[:16], 16))[:12].rjust(12, "1")


def _receipt(charge: SandboxCharge) -> Receipt:
    return Receipt(
        outcome=Outcome.VOIDED if reversing.is_voided(charge) else Outcome.SUCCEEDED,
        transaction_id=charge.transaction_id,
        amount=charge.amount,
        currency=charge.currency,
        reason="APPROVED",
        response={"code": "100"},
        order_id=charge.order_id,
    )

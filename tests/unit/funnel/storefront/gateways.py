"""Gateways as the checkout's page may meet them (``FUNNEL["GATEWAY"]``)."""

from __future__ import annotations

from funnel.payments.gateway import Outcome, PaymentGateway, Receipt, Sale


class FormlessGateway(PaymentGateway):
    """Takes money, and brings no card form of its own."""

    name = "formless"

    def sale(self, sale: Sale) -> Receipt:
        return Receipt(outcome=Outcome.DECLINED)

    def query(self, order_id: str) -> Receipt | None:
        return None

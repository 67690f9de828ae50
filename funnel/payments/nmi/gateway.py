"""The `nmi` gateway: the role `PaymentGateway`, by NMI's Direct Post and Query APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from funnel.payments.gateway import Outcome, PaymentGateway, Receipt
from funnel.payments.nmi import query, transport, wire
from funnel.payments.nmi.conf import get_nmi_conf
from funnel.payments.nmi.exceptions import NmiError, NmiNotSentError

if TYPE_CHECKING:
    from funnel.payments.gateway import Reversal, Sale
    from funnel.payments.nmi.wire import Form


class NmiGateway(PaymentGateway):
    """Charges cards through NMI; the card itself never comes near this site.

    What it raises (`funnel.payments.nmi.exceptions`) means that the outcome is unknown. Where
    nothing has left this machine, that is certain: such a sale is ``REJECTED``.
    """

    name: ClassVar[str] = "nmi"
    supports_reversals: ClassVar[bool] = True
    card_template: ClassVar[str] = "storefront/cards/nmi.html"

    @property
    def timeout_seconds(self) -> float:
        """The time of one whole call, as set."""
        return get_nmi_conf().TIMEOUT_SECONDS

    def sale(self, sale: Sale) -> Receipt:
        """Charge a card, and store it at its first sale."""
        try:
            form = wire.sale_form(sale, dup_seconds=get_nmi_conf().UPSELL_DUP_SECONDS)
            return self._transact(form, order_id=sale.order_id, kind=wire.SALE)
        except NmiNotSentError as exc:
            return Receipt(outcome=Outcome.REJECTED, reason=str(exc))

    def reverse(self, reversal: Reversal) -> Receipt:
        """Void or refund a sale."""
        kind = wire.VOID if reversal.is_void else wire.REFUND
        try:
            return self._transact(wire.reversal_form(reversal), order_id=None, kind=kind)
        except NmiNotSentError as exc:
            return Receipt(outcome=Outcome.REJECTED, reason=str(exc))

    def query(self, order_id: str) -> Receipt | None:
        """Return what became of a sale, by our order id."""
        return query.receipt_of_order(_ask(order_id=order_id), order_id)

    def query_transaction(self, transaction_id: str) -> Receipt | None:
        """Return what is known of a sale, by NMI's id of it."""
        return query.receipt_of_transaction(_ask(transaction_id=transaction_id), transaction_id)

    def query_reversal(self, reversal: Reversal) -> Receipt | None:
        """Return what became of a reversal: a void by the sale's record, a refund by its own."""
        if reversal.is_void:
            records = _ask(transaction_id=reversal.transaction_id)
            return query.receipt_of_void(records, reversal.transaction_id)
        receipt = query.receipt_of_order(
            _ask(order_id=reversal.order_id), reversal.order_id, kind=wire.REFUND
        )
        if receipt is not None and receipt.outcome is Outcome.VOIDED:
            return replace(receipt, outcome=Outcome.REJECTED, reason="The refund was voided")
        if receipt is None or receipt.outcome is not Outcome.SUCCEEDED:
            return receipt
        if (receipt.amount, receipt.currency) == (reversal.amount, reversal.currency):
            return receipt
        return replace(receipt, outcome=Outcome.UNKNOWN, reason="Another amount was refunded")

    def card_context(self) -> dict[str, Any]:
        """Return what turns a card into a payment token in the browser."""
        conf = get_nmi_conf()
        return {"tokenization_key": conf.TOKENIZATION_KEY, "collect_url": conf.COLLECT_URL}

    @staticmethod
    def _transact(form: Form, *, order_id: str | None, kind: str) -> Receipt:
        answer = transport.post(transport.TRANSACT, form)
        hidden = (*form.hidden, get_nmi_conf().SECURITY_KEY)
        return wire.classify(
            answer.status_code, answer.body, order_id=order_id, kind=kind, hidden=hidden
        )


def _ask(**by: str) -> list[query.Record]:
    answer = transport.post(transport.QUERY, wire.Form(fields=by))
    try:
        return query.read(answer.status_code, answer.body)
    except NmiError as exc:
        failure = type(exc)(str(exc))
    # Anew: its traceback has no frame that holds the answer's text, which names stored cards.
    raise failure

"""The role of a payment gateway, and the values it takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from funnel.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal


class Outcome(Enum):
    """What is known of a sale."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    VOIDED = "voided"  # charged, and given back before it was settled


@dataclass(frozen=True, kw_only=True, repr=False)
class Sale:
    """One charge, as a gateway needs it. No repr: it carries what opens a card.

    Attributes:
        order_id: ours, one an attempt, chosen before sending; sales are found by it later.
        amount: in units of ``currency``, with exactly its decimals.
        vault_id: ours, chosen before the first sale, so that a lost answer loses no card.
        payment_token: usable once; the first sale of a card, which also fills the vault. None: the
            card that the vault holds is charged.
        customer: as on the session.
        email: as on the session.
        address: the payer's network address as text, for the gateway's own fraud checks; None
            where it is not known.
        description: what it is for, in a line.

    """

    order_id: str
    amount: Decimal
    currency: str
    vault_id: str
    payment_token: str | None = None
    customer: Mapping[str, Any] | None = None
    email: str | None = None
    address: str | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A gateway's answer.

    Attributes:
        outcome: what is known.
        transaction_id: the gateway's, if it gave one.
        amount: what was charged, if it says; must match what was asked.
        currency: likewise.
        reason: for staff and logs: no card data.
        response: the sanitised answer.
        order_id: ours, if it says; a transaction looked up by its id must name it.
        discrepancy: what of the answer a person has to look into although it is conclusive, as a
            second charge of one order id; empty: nothing.

    """

    outcome: Outcome
    transaction_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    reason: str = ""
    response: Mapping[str, Any] = field(default_factory=dict)
    order_id: str | None = None
    discrepancy: str = ""


@dataclass(frozen=True, kw_only=True)
class Reversal:
    """Money to give back: all of a sale (a void, before it is settled) or a part (a refund).

    Attributes:
        order_id: ours, one a reversal, chosen before sending; it is found by it later.
        transaction_id: the sale's.
        amount: in units of ``currency``; of a void, the whole sale.

    """

    order_id: str
    transaction_id: str
    amount: Decimal
    currency: str
    is_void: bool = False


class PaymentGateway(ABC):
    """What takes the money.

    ``sale`` sends exactly once, without retries, and ends within ``timeout_seconds``. Whatever it
    raises means that the outcome is unknown: a timeout is not a decline.
    """

    name: ClassVar[str]
    takes_money: ClassVar[bool] = True

    @property
    def timeout_seconds(self) -> float:
        """How long one call may take at most, in all; a class attribute serves as well."""
        return 30

    @abstractmethod
    def sale(self, sale: Sale) -> Receipt:
        """Charge a card."""

    @abstractmethod
    def query(self, order_id: str) -> Receipt | None:
        """Return what became of our order id; None if the gateway has no record (inconclusive)."""

    supports_reversals: ClassVar[bool] = False

    def query_transaction(self, transaction_id: str) -> Receipt | None:
        """Return what is known of one of the gateway's transactions; None: no record.

        Raises:
            NotImplementedError: the gateway cannot tell.

        """
        raise NotImplementedError

    def reverse(self, reversal: Reversal) -> Receipt:
        """Give money back. Sends exactly once, as ``sale``; what it raises means unknown.

        ``SUCCEEDED``: it is on its way. ``REJECTED`` or ``DECLINED``: it will not be given back so.
        """
        raise NotImplementedError

    def query_reversal(self, reversal: Reversal) -> Receipt | None:
        """Return what became of a reversal; None if there is no record (inconclusive)."""
        raise NotImplementedError

    def fingerprint(self, payment_token: str, claimed: str | None) -> str | None:
        """Return what is the same for two tokens of one card, if that can be told.

        ``claimed`` is the browser's word: better than nothing against card testing, and no more.
        """
        return claimed

    card_template: ClassVar[str] = "storefront/cards/none.html"

    def card_context(self) -> dict[str, Any]:
        """Return what the card form's template shows."""
        return {}


@cache
def get_gateway() -> PaymentGateway:
    """Return the gateway that the shop has chosen."""
    gateway_class: type[PaymentGateway] = import_string(get_conf().GATEWAY)
    return gateway_class()


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FUNNEL":
        get_gateway.cache_clear()


setting_changed.connect(_forget, dispatch_uid="funnel.gateway")

"""What the books hold: transactions, what happened to them, and both as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

PENDING: Final = "pendingsettlement"
SETTLED: Final = "complete"
CANCELED: Final = "canceled"
FAILED: Final = "failed"
_DECIMALS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that happened to a transaction.

    Attributes:
        kind: sale, void or refund.
        order_id: what the request called it.
        amount: in units of the transaction's currency.
        at: when, as NMI writes it: ``YYYYMMDDhhmmss``, UTC.

    """

    kind: str
    order_id: str
    amount: Decimal
    at: str
    success: bool = True
    text: str = "SUCCESS"
    code: str = "100"


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One record: a sale with its void, or a refund.

    Attributes:
        order_id: the merchant's; a refund has its own. NMI lets two records share one.
        asked: the amount of the request; ``amount`` is what was booked.
        vault_id: the stored card that was charged or created; empty: none.
        card: masked.
        made_at: seconds since the epoch.
        original_id: of a refund, the sale's transaction id.

    """

    transaction_id: str
    order_id: str
    amount: Decimal
    asked: Decimal
    currency: str
    card: str
    card_type: str
    vault_id: str = ""
    condition: str = PENDING
    authcode: str = "123456"
    made_at: float = 0
    original_id: str = ""
    actions: tuple[Action, ...] = ()

    @property
    def kind(self) -> str:
        """What it is: "sale" or "refund"."""
        return self.actions[0].kind

    @property
    def is_charge(self) -> bool:
        """Whether it took money and has not been voided."""
        return self.kind == "sale" and self.condition in {PENDING, SETTLED}


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What is asked of the books: one sale."""

    order_id: str
    amount: Decimal
    currency: str
    card: str
    card_type: str
    vault_id: str = ""
    stores_card: bool = False
    asked: Decimal
    code: str = "100"
    text: str = "SUCCESS"
    hidden_calls: int = 0


def wire_amount(amount: Decimal) -> str:
    """Return an amount as NMI writes it: two decimals, more only where there are more."""
    exact = f"{amount.normalize():f}"
    return exact if len(exact.partition(".")[2]) > _DECIMALS else f"{amount:.2f}"


def as_json(transaction: Transaction) -> dict[str, object]:
    """Return a record as JSON shows it: amounts are text, exact."""
    plain = dict(vars(transaction))
    plain["amount"], plain["asked"] = str(transaction.amount), str(transaction.asked)
    plain["actions"] = [
        {**vars(action), "amount": str(action.amount)} for action in transaction.actions
    ]
    return plain


def from_json(plain: object) -> Transaction:
    """Return the record of `as_json`."""
    if not isinstance(plain, dict):
        raise TypeError(plain)
    actions = tuple(
        Action(**{**action, "amount": Decimal(action["amount"])}) for action in plain["actions"]
    )
    amounts = {name: Decimal(plain[name]) for name in ("amount", "asked")}
    return Transaction(**{**plain, **amounts, "actions": actions})

"""What a target is told: one event, with the order as it is when it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SESSION_COMPLETED: Final = "session_completed"
UPSELL_PAID: Final = "upsell_paid"
ORDER_PAID: Final = "order_paid"
REFUNDED: Final = "refunded"
TYPES: Final = (SESSION_COMPLETED, UPSELL_PAID, ORDER_PAID, REFUNDED)


@dataclass(frozen=True, kw_only=True)
class HookEvent:
    """One event of one order. What it holds is the shop's customer's: keep it out of logs.

    Attributes:
        id: the same at every delivery: what was done for it once need not be done again.
        type: one of `TYPES`.
        session_id: whose order.
        sequence: grows with the events of one session; two of one change share it.
        created_at: when it happened.
        data: what happened: amounts (text, exact), currency, purpose; nothing personal.
        session: the order as it is now; None once it is deleted.
        charges: what was charged for it by now, with what of it went back.
        totals: currency → what that adds up to: ``charged``, ``refunded``, ``owed``,
            ``net``; as `funnel.payments.money_log.statement`.

    """

    id: str
    type: str
    session_id: str
    sequence: int
    created_at: datetime
    data: Mapping[str, Any]
    session: Mapping[str, Any] | None = field(default=None, repr=False)
    charges: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    totals: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def to_json(self) -> bytes:
        """Return the body of a webhook; amounts are text, as they are here."""
        return msgspec.json.encode(
            {
                "id": self.id,
                "type": self.type,
                "sessionId": self.session_id,
                "sequence": self.sequence,
                "createdAt": self.created_at,
                "data": self.data,
                "session": self.session,
                "charges": self.charges,
                "totals": self.totals,
            }
        )

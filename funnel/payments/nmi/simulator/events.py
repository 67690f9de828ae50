"""The events that webhooks carry, in NMI's own shape."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from funnel.payments.nmi.simulator.records import wire_amount

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator.records import Transaction


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event, and how its delivery stands.

    Attributes:
        body: exactly what is sent and signed.
        deliveries: how often it is still to be delivered.
        tries: requests made.
        status: the last answer's; None: none yet, or no answer.
        due_at: the monotonic time of the next try.

    """

    event_id: str
    event_type: str
    body: bytes
    deliveries: int = 1
    tries: int = 0
    status: int | None = None
    state: Literal["waiting", "delivered", "given up"] = "waiting"
    due_at: float = 0


def event_of(transaction: Transaction) -> Event:
    """Return the event of what has just happened to a transaction."""
    action = transaction.actions[-1]
    result = "success" if action.success else "failure"
    event_id, event_type = str(uuid.uuid4()), f"transaction.{action.kind}.{result}"
    content = {
        "event_id": event_id,
        "event_type": event_type,
        "event_body": _body(transaction),
    }
    body = json.dumps(content).encode()
    return Event(event_id=event_id, event_type=event_type, body=body)


def _body(transaction: Transaction) -> dict[str, Any]:
    action = transaction.actions[-1]
    return {
        "merchant": {"id": "1234567", "name": "NMI simulator"},
        "features": {"is_test_mode": True},
        "transaction_id": transaction.transaction_id,
        "original_transaction_id": transaction.original_id,
        "transaction_type": "cc",
        "condition": transaction.condition,
        "processor_id": "simulator",
        "ponumber": "",
        "order_description": "",
        "order_id": transaction.order_id,
        "customerid": transaction.vault_id,
        "currency": transaction.currency,
        "tax": "0.00",
        "requested_amount": wire_amount(transaction.amount),
        "authorization_code": transaction.authcode,
        "card": {"cc_number": transaction.card, "cc_type": transaction.card_type},
        "action": {
            "amount": wire_amount(action.amount),
            "action_type": action.kind,
            "date": action.at,
            "success": "1" if action.success else "0",
            "source": "api",
            "api_method": "api",
            "response_text": action.text,
            "response_code": action.code,
        },
    }

"""Refunds for tests, and the audit that every test of them ends with."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from funnel.payments.money_log.checking import check
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.money_log.statement import statement
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.refunding import give_back
from sessions_unified import get_manager
from tests.charges import attempts
from tests.gateways import ReversingGateway

if TYPE_CHECKING:
    from funnel.payments.models import ChargeAttempt
    from funnel.payments.money_log.statement import Balance
    from sessions_unified.manager import UnifiedSessionManager


def staff() -> UnifiedSessionManager:
    manager = get_manager()
    manager.actor = "staff:1"
    return manager


def refund(attempt: ChargeAttempt, **given: Any) -> Refund:
    return give_back(staff(), attempt.pk, **({"reason": "Broken pot"} | given))


def order_of(session_id: str) -> ChargeAttempt:
    return next(each for each in attempts(session_id) if each.purpose == "checkout")


def booked(attempt: ChargeAttempt) -> list[tuple[str, str]]:
    entries = MoneyEntry.objects.filter(attempt=attempt).order_by("pk")
    return [(entry.kind, f"{entry.amount.normalize():f}") for entry in entries]


def total(session_id: str, currency: str = "USD") -> Balance:
    return statement(session_id).totals[currency]


def audit_refunds(session_id: str) -> None:
    """Check that the log, the attempts, the refunds and the gateway's books tell one story."""
    assert check(session_id) == []
    for attempt in attempts(session_id):
        succeeded = [r for r in attempt.refunds.all() if r.state == Refund.State.SUCCEEDED]
        ours = {r.gateway_order_id: r for r in succeeded if r.requested_by != "gateway"}
        books = {
            order_id: reversal
            for order_id, reversal in ReversingGateway.books.items()
            if attempt.refunds.filter(gateway_order_id=order_id).exists()
        }
        assert {key: each.amount for key, each in ours.items()} == {
            key: each.amount for key, each in books.items()
        }
        given_back = sum((r.amount for r in succeeded), Decimal(0))
        is_closed = attempt.state in {"refunded", "voided"}
        assert is_closed == (attempt.amount is not None and given_back >= attempt.amount)

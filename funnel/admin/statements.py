"""A session's money, as its page shows it: the statement, the charges, the refunds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse

from funnel.admin.base import state_badge
from funnel.admin.giving_back import give_back_url, may_give_back
from funnel.admin.refunds import names_of, refund_badge
from funnel.payments.money_log.checking import check_attempts
from funnel.payments.money_log.statement import Balance, Item, attempts_of, statement_of
from funnel.payments.refunds import portions
from sessions_unified.admin import formatting
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from funnel.payments.models import ChargeAttempt
    from funnel.payments.refunds.models import Refund


def money_context(user: User | AnonymousUser, session_id: str) -> dict[str, Any]:
    """Return what the panel's template shows to this user."""
    attempts = attempts_of(session_id)
    found = statement_of(session_id, attempts)
    refunds = sorted(
        (refund for attempt in attempts for refund in attempt.refunds.all()),
        key=lambda refund: (refund.created_at, refund.pk),
    )
    names = names_of(refund.requested_by for refund in refunds)
    return {
        "items": [_item(each) for each in found.items],
        "totals": [_amounts(total, currency) for currency, total in found.totals.items()],
        "open_charges": [
            {"purpose": each.purpose, "amount": formatting.money(each.amount, each.currency)}
            for each in found.open_charges
        ],
        "unpriced": found.unpriced,
        "problems": check_attempts(session_id, attempts),
        "rows": [_charge(user, attempt) for attempt in attempts],
        "refunds": [_refund(refund, names) for refund in refunds],
    }


def _item(item: Item) -> dict[str, Any]:
    note = "imported" if item.is_imported else item.item
    return {"name": item.name, "note": note, "amounts": _amounts(item.balance, item.currency)}


def _amounts(balance: Balance, currency: str) -> list[str]:
    amounts = (balance.charged, balance.refunded, balance.owed, balance.net)
    return [formatting.money(each, currency) if each else formatting.NOTHING for each in amounts]


def _charge(user: User | AnonymousUser, attempt: ChargeAttempt) -> dict[str, Any]:
    now = get_clock().now()
    left = portions.left_of(attempt) if may_give_back(user, attempt) else ()
    total = portions.total(left)
    several = [each for each in left if each.amount > 0] if len(left) > 1 else []
    return {
        "attempt": attempt,
        "url": reverse("admin:funnel_chargeattempt_change", args=[attempt.pk]),
        "state": state_badge(attempt),
        "amount": formatting.money(attempt.amount, attempt.currency),
        "created": formatting.when(attempt.created_at, now),
        "settled": formatting.when(attempt.settled_at, now),
        "left": formatting.money(total, attempt.currency),
        "refund_url": give_back_url(attempt) if total > 0 else "",
        "lines": [
            {
                "name": each.line.name or each.line.item,
                "left": formatting.money(each.amount, attempt.currency),
                "url": give_back_url(attempt, each.place),
            }
            for each in several
        ],
    }


def _refund(refund: Refund, names: dict[str, str]) -> dict[str, Any]:
    return {
        "refund": refund,
        "url": reverse("admin:funnel_refund_change", args=[refund.pk]),
        "state": refund_badge(refund),
        "amount": formatting.money(refund.amount, refund.attempt.currency),
        "who": names.get(refund.requested_by, refund.requested_by),
        "created": formatting.when(refund.created_at, get_clock().now()),
    }

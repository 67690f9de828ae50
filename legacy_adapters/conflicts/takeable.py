"""Which values of a legacy record a person may take over into a session, and why not the others.

Charge attempts are the authority on money: what was paid here is never overwritten, and nothing is
taken while a charge is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessions_unified.flow import COMPLETED, EXPIRED, PROCESSING, Position, get_flow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sessions_unified.snapshot import SessionSnapshot

TAKEABLE: Final = (
    *("status", "current_step", "email", "customer", "products"),
    *("amount", "transaction_id", "vault_id", "upsells"),
)
_ONLY_WHERE_EMPTY: Final = frozenset({"amount", "transaction_id", "vault_id", "upsells"})
_SUM: Final = frozenset({"amount", "products"})
_POSITION: Final = frozenset({"status", "current_step"})
_PAST_PAYMENT: Final = frozenset({PROCESSING, COMPLETED})


def obstacle(name: str, ours: SessionSnapshot, theirs: SessionSnapshot, *, is_held: bool) -> str:
    """Return why the record's value of this field may not be taken; empty if it may."""
    is_money = name in _ONLY_WHERE_EMPTY and not _is_empty(name, ours)
    is_sum = name in _SUM and theirs.currency != ours.currency
    leads_back = name in _POSITION and ours.is_paid and _leads_back(ours, theirs)
    reasons = (
        (name not in TAKEABLE, "Only looked at: it is never taken over."),
        (is_held, "A charge of the session is open (held). Settle it first."),
        (is_money, "The session has one of its own, and its charges are the authority."),
        (is_sum, "It is in another currency."),
        (name == "products" and ours.is_paid, "The session is paid: what was ordered stands."),
        (leads_back, "The session is paid and further along."),
    )
    return next((text for applies, text in reasons if applies), "")


def whole_obstacle(ours: SessionSnapshot, theirs: SessionSnapshot, fields: Collection[str]) -> str:
    """Return why these fields may not be taken together; empty if they may."""

    def after(name: str) -> str:
        return str(getattr(theirs if name in fields else ours, name))

    is_paid = (theirs if "transaction_id" in fields else ours).is_paid
    position = Position(after("status"), after("current_step"))
    is_usual = position.status == EXPIRED or position in get_flow().positions
    if not _POSITION.isdisjoint(fields) and not is_usual:
        return f"Status and step do not go together: {position}. Take both, or neither."
    if is_paid and not ours.is_paid and position.status not in _PAST_PAYMENT:
        return f"A paid session cannot be at {position}. Take its status and step too."
    if "upsells" in fields and theirs.upsells.accepted and not is_paid:
        return "Accepted extras need a paid order. Take its transaction id too."
    if _parts_a_sum(ours, theirs, fields):
        return "An amount belongs to its own products. Take both, or neither."
    return ""


def _parts_a_sum(ours: SessionSnapshot, theirs: SessionSnapshot, fields: Collection[str]) -> bool:
    """Tell whether one side's amount would stand under the other side's products."""
    taken = _SUM.intersection(fields)
    if len(taken) != 1:
        return False
    if "products" in taken:
        return ours.amount is not None and ours.amount != theirs.amount
    return bool(ours.products) and ours.products != theirs.products


def _is_empty(name: str, ours: SessionSnapshot) -> bool:
    return not ours.upsells.accepted if name == "upsells" else getattr(ours, name) is None


def _leads_back(ours: SessionSnapshot, theirs: SessionSnapshot) -> bool:
    flow = get_flow()
    is_unpaid = theirs.status not in _PAST_PAYMENT
    return is_unpaid or flow.rank(theirs.current_step) < flow.rank(ours.current_step)

"""Orders for tests, and the audit that every test of money ends with."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from funnel.catalog import price
from funnel.checkout import process_checkout
from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from funnel.payments.sandbox.models import SandboxCharge
from funnel.upsell import process_upsell
from sessions_unified import get_manager
from sessions_unified.models import SessionEvent, UnifiedSession

if TYPE_CHECKING:
    from funnel.payments.idempotency import Reply
    from sessions_unified.snapshot import SessionSnapshot

State = ChargeAttempt.State
_keys = itertools.count(1)


def start(quantity: int = 2) -> str:
    """Create a session with products and return its id."""
    lines, amount, currency = price([{"id": "SOIL", "quantity": quantity}])
    session = get_manager().create_session(
        email="ana@example.org", products=list(lines), amount=amount, currency=currency
    )
    return session.id


def pay(session_id: str, card: str = "tok_approve", *, key: str | None = None) -> Reply:
    key = key or f"pay-{next(_keys)}"
    return process_checkout(get_manager(), session_id, key=key, payment_token=card)


def answer(
    session_id: str, offer: str, decision: str = "accept", *, key: str | None = None
) -> Reply:
    key = key or f"answer-{next(_keys)}"
    return process_upsell(get_manager(), session_id, key=key, offer_id=offer, decision=decision)


def accept_key(offer: str) -> dict[str, str]:
    return {"offer_id": offer, "decision": "accept"}


def paid(card: str = "tok_approve") -> str:
    """Create a session whose order is paid, and return its id."""
    session_id = start()
    assert pay(session_id, card).status == 200
    return session_id


def session_of(session_id: str) -> SessionSnapshot:
    return get_manager().get_session(session_id, fresh=True)


def position(session_id: str) -> str:
    row = UnifiedSession.objects.get(pk=session_id)
    return f"{row.status}/{row.current_step}"


def attempts(session_id: str) -> list[ChargeAttempt]:
    return list(ChargeAttempt.objects.filter(session_id=session_id).order_by("pk"))


def states(session_id: str) -> list[str]:
    return [attempt.state for attempt in attempts(session_id)]


def charges(session_id: str) -> list[SandboxCharge]:
    """Return what the sandbox really charged for the session."""
    orders = [attempt.gateway_order_id for attempt in attempts(session_id)]
    return list(SandboxCharge.objects.filter(order_id__in=orders).order_by("pk"))


def data(reply: Reply) -> dict[str, Any]:
    return reply.data


def audit(session_id: str) -> None:
    """Check that attempts, the gateway's books, the session and its events tell one story."""
    row = UnifiedSession.objects.get(pk=session_id)
    found = attempts(session_id)
    succeeded = [each for each in found if each.state == State.SUCCEEDED]
    _audit_books(found)
    assert row.holds == sum(each.is_open for each in found)
    order = [each for each in succeeded if each.purpose == "checkout"]
    assert len(order) <= 1
    assert row.transaction_id == (order[0].transaction_id if order else None)
    taken = {each.purpose.removeprefix("upsell:") for each in succeeded} - {"checkout"}
    accepted = row.upsells.get("accepted", [])
    assert (set(accepted), len(accepted)) == (taken, len(taken))
    assert not taken & set(row.upsells.get("declined", []))
    assert row.payment_token is None or row.holds
    _audit_events(row, succeeded)


def _audit_books(found: list[ChargeAttempt]) -> None:
    books = {charge.order_id: charge for charge in SandboxCharge.objects.all()}
    assert len({each.gateway_order_id for each in found}) == len(found)
    for each in found:
        charge = books.get(each.gateway_order_id)
        if each.state in {State.SUCCEEDED, State.SURPLUS}:
            assert charge is not None
            assert (charge.transaction_id, charge.amount, charge.currency) == (
                each.transaction_id,
                each.amount,
                each.currency,
            )
        if each.state in {State.DECLINED, State.REJECTED}:
            assert charge is None


def _audit_events(row: UnifiedSession, succeeded: list[ChargeAttempt]) -> None:
    events = list(SessionEvent.objects.filter(session_id=row.pk).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, row.version + 1))
    booked = [e for e in events if e.kind in {"charge_succeeded", "upsell_succeeded"}]
    logged = sum((Decimal(event.data["amount"]) for event in booked), Decimal(0))
    assert logged == sum((each.amount or Decimal(0) for each in succeeded), Decimal(0))
    log = json.dumps([[e.kind, e.changed, e.data, e.actor] for e in events])
    vaults = {each.vault_id for each in succeeded if each.vault_id}
    for secret in {"ana@example.org", "tok_", *vaults}:
        assert secret not in log


def answers(session_id: str) -> dict[str, int | None]:
    """Return key → stored status."""
    records = IdempotencyRecord.objects.filter(session_id=session_id)
    return dict(records.values_list("key", "status"))

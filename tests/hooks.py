"""What the tests of hooks share: a relay's pass, and deliverers that need not wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from funnel.hooks.consumer import HookConsumer
from funnel.hooks.delivering import Deliverer
from funnel.hooks.models import HookDelivery
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.event_log import BEGINNING, read_after
from sessions_unified.relay import Relay
from sessions_unified.tiers import get_tiers
from tests.charges import answer, pay, start

if TYPE_CHECKING:
    from collections import Counter

    from funnel.hooks.event import HookEvent

State = HookDelivery.State

told: list[HookEvent] = []


def remember(event: HookEvent) -> None:
    """Be a callable target."""
    told.append(event)


def refuse(event: HookEvent) -> None:
    """Be one that fails, and says too much."""
    raise LookupError(f"no stock for {event.session}")


async def remember_later(event: HookEvent) -> None:
    """Be one that no worker can call."""


def complete() -> str:
    """Walk a shopper to the end: an order and one offer taken, and nothing else for a while."""
    session_id = start()
    assert pay(session_id).status == 200
    assert answer(session_id, "upsell-1-serum").status == 200
    get_manager().expire_session(session_id)  # paid: completed
    return session_id


def relay() -> None:
    """Hand the whole log on, as ``run_relay --once`` does."""
    assert Relay([HookConsumer()], get_tiers()).drain()


def handle_again() -> None:
    """Hand the consumer what it was handed before."""
    HookConsumer().handle(read_after(BEGINNING, 10_000))


def deliver() -> Counter[str]:
    """Deliver what is due."""
    return Deliverer(random=lambda: 0.0).run()


def make_due(**conditions: Any) -> int:
    """Let the pauses and leases of pending ones be over."""
    rows = HookDelivery.objects.filter(state=State.PENDING, **conditions)
    return rows.update(next_try_at=get_clock().now() - timedelta(seconds=1))


def deliver_all(rounds: int = 30) -> None:
    """Deliver until nothing is pending that can be."""
    for _ in range(rounds):
        if not make_due():
            return
        deliver()


def rows(**conditions: Any) -> list[HookDelivery]:
    return list(HookDelivery.objects.filter(**conditions).order_by("session_id", "seq", "pk"))


def states() -> dict[str, str]:
    """Return type → state; of one session and target."""
    return {row.type: row.state for row in rows()}

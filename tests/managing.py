"""Managers for tests: an order, its history, and waiting for what other threads do."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from sessions_unified.models import SessionEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.testing import FrozenClock
    from sessions_unified.tiers import Tiers

ORDER: dict[str, Any] = {
    "email": "ana@example.org",
    "products": [{"id": "SOIL", "quantity": 2, "price": "12.50"}],
    "amount": Decimal(25),
    "currency": "USD",
    "metadata": {"utm": "x"},
}


class MakeTiers(Protocol):
    """Builds the tiers of one more process."""

    def __call__(self, *, clock: FrozenClock | None = None, **changes: object) -> Tiers:
        """``changes`` replace settings."""


def events(session_id: str) -> list[tuple[int, str]]:
    log = SessionEvent.objects.filter(session_id=session_id).order_by("seq")
    return list(log.values_list("seq", "kind"))


def paid(manager: UnifiedSessionManager, session: SessionSnapshot) -> SessionSnapshot:
    """Move a session to upsell-1 as a settled charge does."""
    moves = [("processing", "processing"), ("processing", "upsell-1")]
    for status, step in moves:
        session = manager.update_session(
            session.id, {"status": status, "current_step": step, "transaction_id": "t1"}
        )
    return session


def warm(manager: UnifiedSessionManager) -> UnifiedSessionManager:
    """Wait until the manager's invalidation channel has proven itself."""
    channel = manager._tiers.channel
    assert channel is not None
    wait_for(channel.is_alive)
    return manager


def wait_for(condition: Callable[[], object], *, seconds: float = 10) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

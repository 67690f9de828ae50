"""Managers and cleaners for tests: an order, its history, and what other threads do."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connection, transaction

from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent
from sessions_unified.upkeep.cleaning import Cleaner
from sessions_unified.upkeep.pacing import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def that_dies(tiers: Tiers) -> UnifiedSessionManager:
    """Return a manager that commits, and tells no cache."""
    return UnifiedSessionManager(tiers=replace(tiers, memory=None, redis=None, channel=None))


def cleaner(tiers: Tiers, *, largest: int = 500, **changes: Any) -> Cleaner:
    """Return one whose pacer never rests."""
    return Cleaner(
        tiers=tiers, pacer=Pacer(largest=largest, batch_seconds=60, rests=False), **changes
    )


def in_threads(*works: Callable[[], object]) -> list[BaseException]:
    """Run each in a thread with a connection of its own; return what they raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  (the caller judges it)
            raised.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


@contextmanager
def elsewhere(sql: str, params: list[Any]) -> Iterator[None]:
    """Keep a transaction open on another connection that has run this statement."""
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql, params)
                ready.set()
                done.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        done.set()
        thread.join()


def wait_until_left(application: str) -> None:
    """Wait until the database has noticed that a killed process is gone: until then it locks."""

    def has_left() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT NOT EXISTS(SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
                "AND datname = current_database())",
                [application],
            )
            return bool(cursor.fetchone()[0])

    wait_for(has_left)


def lock_row(session_id: str) -> tuple[str, list[Any]]:
    """Return what `elsewhere` runs to keep a session's row locked."""
    return (
        "SELECT 1 FROM sessions_unified_unifiedsession WHERE id = %s FOR UPDATE",
        [session_id],
    )


def warm(manager: UnifiedSessionManager) -> UnifiedSessionManager:
    """Wait until the manager's invalidation channel has proven itself."""
    channel = manager._tiers.channel
    assert channel is not None
    wait_for(channel.is_alive)
    return manager


def wait_for(condition: Callable[[], object], *, seconds: float = 30) -> None:
    """Poll until ``condition`` holds; ``seconds`` is what the busiest machine may need."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

"""Expiry, purge and touches, in batches, over real PostgreSQL and Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_unified import expiry, tasks, touches
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionExpiredError,
    SessionNotFoundError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import build_tiers
from sessions_unified.upkeep import sweeping
from tests.managing import ORDER, cleaner, elsewhere, events, lock_row, paid

if TYPE_CHECKING:
    from tests.managing import MakeTiers


def test_due_sessions_are_settled_by_the_money_aware_rule(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    unpaid = manager.create_session(**ORDER)
    bought = paid(manager, manager.create_session(**ORDER))
    held = manager.create_session(**ORDER)
    with manager.lock_session(held.id) as locked:
        locked.hold()
    clock.advance(hours=12)
    young = manager.create_session(**ORDER)
    clock.advance(hours=12)
    cached = [manager.get_session(young.id)]

    assert sweeping.count_due(tiers) == 2
    assert cleaner(tiers).settle().done == 2
    assert cleaner(tiers).settle().done == 0

    rows = UnifiedSession.objects.in_bulk([unpaid.id, bought.id, held.id, young.id])
    assert rows[unpaid.id].status == "expired"
    assert (rows[bought.id].status, rows[bought.id].current_step) == ("completed", "success")
    assert rows[bought.id].expires_at == clock.now() + timedelta(hours=24)
    assert rows[held.id].status == rows[young.id].status == "pending"
    assert events(unpaid.id)[-1] == (2, "session_expired")
    assert events(bought.id)[-1] == (4, "session_completed")
    expired = SessionEvent.objects.get(session_id=unpaid.id, seq=2)
    assert (expired.changed, expired.data) == (["status"], {"status": ["pending", "expired"]})
    completed = SessionEvent.objects.get(session_id=bought.id, seq=4)
    assert completed.data["step"] == ["upsell-1", "success"]
    assert cached == [manager.get_session(young.id)]


def test_a_session_that_a_shopper_has_locked_is_left_to_the_next_batch(
    make_tiers: MakeTiers,
) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    created = manager.create_session(**ORDER)
    clock.advance(days=2)

    with elsewhere(*lock_row(created.id)):
        assert cleaner(tiers).settle().done == 0
    assert cleaner(tiers).settle().done == 1


def test_finished_sessions_past_retention_become_tombstones(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    old = manager.create_session(**ORDER)
    clock.advance(days=2)
    cleaner(tiers).settle()
    clock.advance(days=91)
    manager.create_session(**ORDER)

    assert sweeping.count_purgeable(tiers) == 1
    assert cleaner(tiers).purge().done == 1
    assert cleaner(tiers).purge().done == 0

    row = UnifiedSession.objects.get(pk=old.id)
    assert row.deleted_at == clock.now()
    assert (row.email, row.customer, row.products) == (None, None, [])
    assert events(old.id)[-1] == (3, "session_purged")


def test_a_purged_session_whose_copy_stands_is_not_served(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock, RETENTION_DAYS=90)
    manager = UnifiedSessionManager(tiers=tiers)
    session_id = manager.create_session(**ORDER).id
    clock.advance(days=2)
    cleaner(tiers).settle()
    clock.advance(days=91)
    with pytest.raises(SessionExpiredError):
        manager.get_session(session_id)  # whatever the caches may hold now

    assert cleaner(tiers).purge().done == 1

    with pytest.raises(SessionNotFoundError):
        manager.get_session(session_id)


def test_old_events_are_dropped_by_session_in_batches(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    for _ in range(3):
        session = paid(manager, manager.create_session(**ORDER))
        manager.delete_session(session.id)
        clock.advance(seconds=1)
    clock.advance(days=366)

    assert sweeping.count_ended(tiers) == 3
    first = sweeping.events_batch(tiers, size=2)
    second = sweeping.events_batch(tiers, size=2, start=first.ended_at)

    assert (first.done, first.found) == (8, 2)
    assert (second.done, second.found) == (4, 1)
    assert sweeping.count_ended(tiers) == SessionEvent.objects.count() == 0
    assert UnifiedSession.objects.exclude(deleted_at=None).count() == 3


def test_old_events_of_purged_sessions_are_dropped_and_no_others(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    old = manager.create_session(**ORDER)
    kept = manager.create_session(**ORDER)
    manager.delete_session(old.id)
    clock.advance(days=366)

    dropped = cleaner(tiers).drop_events().done

    assert dropped == 2
    assert events(old.id) == []
    assert events(kept.id) == [(1, "session_created")]
    with pytest.raises(DatabaseError, match="append-only"):
        SessionEvent.objects.filter(session_id=kept.id).delete()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it cleans up itself
@given(
    created=st.integers(0, 30 * 60),
    left=st.integers(0, 30 * 60),
    seen=st.none() | st.integers(0, 30 * 60),
    step=st.sampled_from(["checkout", "processing", "upsell-1", "upsell-2"]),
)
def test_the_sql_of_expiry_is_the_rule_of_reads(
    transactional_db: None, created: int, left: int, seen: int | None, step: str
) -> None:
    # Minutes before now: created; the deadline, relative to creation; the last touch.
    clock = FrozenClock()
    from sessions_unified.conf import get_conf

    tiers = build_tiers(get_conf(), clock)
    now = clock.now()
    row = UnifiedSession.objects.create(
        id="ws_a_property",
        status="processing",
        current_step=step,
        currency="USD",
        created_at=now - timedelta(minutes=created),
        updated_at=now,
        expires_at=now - timedelta(minutes=created) + timedelta(minutes=left),
        last_seen_at=None if seen is None else now - timedelta(minutes=seen),
    )

    found = tiers.database.row(row.id)
    assert found is not None
    is_due = now >= expiry.effective_deadline(found.copy.session, found.last_seen_at)

    assert sweeping.count_due(tiers) == int(is_due)
    row.delete()


def test_touches_are_flushed_once_and_late_ones_are_kept(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    first, second = manager.create_session(**ORDER), manager.create_session(**ORDER)
    manager.touch_session(first.id)
    manager.touch_session(second.id)
    touched_at = clock.now()
    write = tiers.database.raise_last_seen

    def touch_again_meanwhile(seen: dict[str, object]) -> None:
        write(seen)  # type: ignore[arg-type]
        clock.advance(seconds=5)
        manager.touch_session(second.id)

    monkeypatch.setattr(tiers.database, "raise_last_seen", touch_again_meanwhile)
    flushed = touches.flush_touches(tiers)
    monkeypatch.undo()

    assert flushed == 1
    assert UnifiedSession.objects.get(pk=first.id).last_seen_at == touched_at
    assert touches.pending_touch(tiers, first.id) is None
    assert touches.pending_touch(tiers, second.id) == clock.now()
    assert touches.flush_touches(tiers) == 1
    assert UnifiedSession.objects.get(pk=second.id).last_seen_at == clock.now()
    assert UnifiedSession.objects.get(pk=first.id).version == 1


def test_touches_of_an_earlier_time_lower_nothing(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    created = manager.create_session(**ORDER)

    tiers.database.raise_last_seen({created.id: clock.now()})
    tiers.database.raise_last_seen({created.id: clock.now() - timedelta(hours=1)})

    assert UnifiedSession.objects.get(pk=created.id).last_seen_at == clock.now()


def test_a_touch_that_comes_between_two_batches_counts(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    manager = UnifiedSessionManager(tiers=tiers)
    gone = paid(manager, manager.create_session(**ORDER))
    clock.advance(minutes=1)
    here = paid(manager, manager.create_session(**ORDER))
    clock.advance(minutes=29)
    settle_batch = sweeping.settle_batch

    def be_seen_after_the_first_batch(*args: Any, **kwargs: Any) -> sweeping.Batch:
        settled = settle_batch(*args, **kwargs)
        manager.touch_session(here.id)
        clock.advance(minutes=2)
        return settled

    monkeypatch.setattr(tasks, "get_tiers", lambda: tiers)
    monkeypatch.setattr(sweeping, "settle_batch", be_seen_after_the_first_batch)

    assert tasks.expire_due_sessions(batch_size=1) == 1
    assert events(gone.id)[-1][1] == "session_completed"
    assert events(here.id)[-1][1] == "session_updated"


def test_a_database_that_does_not_answer_while_settling_is_one_error(
    make_tiers: MakeTiers,
) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    created = manager.create_session(**ORDER)
    clock.advance(days=2)

    with elsewhere(*lock_row(created.id)):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(DatabaseUnavailableError):
            manager.get_session(created.id)
    connection.close()

"""The manager over real Redis and PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessions_unified.exceptions import (
    InvalidChangeError,
    InvalidTransitionError,
    SessionExpiredError,
    SessionHeldError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.testing import FrozenClock
from tests.managing import ORDER, events, paid, wait_for, warm

if TYPE_CHECKING:
    import redis
    from pytest_django.fixtures import SettingsWrapper

    from tests.managing import MakeTiers

# Create and read


def test_a_new_session_is_read_back_from_every_tier(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)

    read = manager.get_session(created.id)
    again = manager.get_session(created.id)

    assert read == created == manager.get_session(created.id, fresh=True)
    assert again is read  # L1 hands out the frozen value itself
    health = manager.validate_session(created.id)
    assert health.tiers_agree
    assert [tier.is_present for tier in health.tiers] == [True, True, True]
    assert events(created.id) == [(1, "session_created")]


def test_an_unknown_session_is_not_found(manager: UnifiedSessionManager) -> None:
    with pytest.raises(SessionNotFoundError):
        manager.get_session("ws_a_b")


def test_a_taken_id_is_refused(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)

    with pytest.raises(InvalidChangeError, match="taken"):
        manager.create_session(session_id=created.id)

    assert manager.get_session(created.id, fresh=True) == created


def test_a_value_that_cannot_be_stored_is_named_and_nothing_is_kept(
    manager: UnifiedSessionManager,
) -> None:
    with pytest.raises(InvalidChangeError, match="NUL"):
        manager.create_session(email="a\x00b")

    assert UnifiedSession.objects.count() == 0
    assert SessionEvent.objects.count() == 0


def test_many_sessions_are_read_at_once(manager: UnifiedSessionManager) -> None:
    first, second, third = (manager.create_session(**ORDER) for _ in range(3))
    manager.get_session(first.id)  # in L1
    manager.delete_session(third.id)

    found = manager.get_sessions([second.id, first.id, third.id, "ws_a_b", first.id])

    assert found == {first.id: first, second.id: second}


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e30", "1e15"])
def test_an_amount_that_is_none_is_refused(manager: UnifiedSessionManager, amount: str) -> None:
    with pytest.raises(InvalidChangeError) as caught:
        manager.create_session(amount=Decimal(amount))

    assert caught.value.field == "amount"


# Update


def test_an_update_changes_only_what_it_names_with_one_event(
    manager: UnifiedSessionManager,
) -> None:
    created = manager.create_session(**ORDER)

    updated = manager.update_session(created.id, {"email": "bo@example.org"})

    assert updated.email == "bo@example.org"
    assert updated.version == 2
    assert updated.products == created.products
    assert manager.get_session(created.id) == updated
    assert manager.get_session(created.id, fresh=True) == updated
    event = SessionEvent.objects.get(session_id=created.id, seq=2)
    assert (event.kind, event.changed) == ("session_updated", ["email"])
    assert "bo@example.org" not in str(event.data)


def test_a_change_that_changes_nothing_leaves_no_event(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)

    same = manager.update_session(created.id, {"email": created.email, "status": "pending"})

    assert same == created
    assert len(events(created.id)) == 1


def test_an_illegal_move_is_refused_and_leaves_nothing(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)

    with pytest.raises(InvalidTransitionError):
        manager.update_session(
            created.id, {"status": "completed", "current_step": "success", "email": "x@y.zz"}
        )

    assert manager.get_session(created.id, fresh=True) == created


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"emial": "x"}, "emial"), ({"products": "x"}, "products"), ({"version": 9}, "version")],
)
def test_a_bad_change_names_its_field(
    manager: UnifiedSessionManager, changes: dict[str, Any], field: str
) -> None:
    created = manager.create_session(**ORDER)

    with pytest.raises(InvalidChangeError) as caught:
        manager.update_session(created.id, changes)

    assert caught.value.field == field


def test_an_amount_has_the_decimals_of_a_currency_that_changes_alone(
    manager: UnifiedSessionManager,
) -> None:
    created = manager.create_session(**ORDER | {"amount": Decimal("25.50")})

    updated = manager.update_session(created.id, {"currency": "JPY"})

    assert updated.amount == 26
    assert manager.get_session(created.id, fresh=True) == updated


def test_if_version_lets_only_that_version_change(
    make_tiers: MakeTiers, manager: UnifiedSessionManager
) -> None:
    created = manager.create_session(**ORDER)
    other = UnifiedSessionManager(tiers=make_tiers())
    manager.get_session(created.id)
    other.update_session(created.id, {"email": "bo@example.org"})

    with pytest.raises(VersionConflictError):
        manager.update_session(created.id, {"email": "cy@example.org"}, if_version=1)
    updated = manager.update_session(created.id, {"email": "cy@example.org"}, if_version=2)

    assert updated.version == 3


def test_a_stale_copy_judges_no_write(
    make_tiers: MakeTiers, manager: UnifiedSessionManager
) -> None:
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)
    elsewhere = UnifiedSessionManager(tiers=make_tiers(L1_ENABLED=False))
    elsewhere._tiers.redis = None  # its put and its message are lost
    elsewhere.update_session(created.id, {"email": "bo@example.org"})
    paid(elsewhere, created)

    # By the cached copy (still at the checkout) neither of these would be judged right.
    same = manager.update_session(created.id, {"email": "ana@example.org"})
    moved = manager.update_session(created.id, {"status": "processing", "current_step": "upsell-2"})

    assert same.email == "ana@example.org"
    assert moved.current_step == "upsell-2"


def test_r08_concurrent_writers_lose_nothing(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)

    def add(number: int) -> None:
        try:
            for turn in range(5):
                own = UnifiedSessionManager(tiers=manager._tiers)
                with own.lock_session(created.id) as locked:
                    metadata = {**locked.session.metadata, f"k{number}-{turn}": 1}
                    locked.update({"metadata": metadata}, kind="counted")
                own.update_session(created.id, {"email": f"{number}-{turn}@example.org"})
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))

    final = manager.get_session(created.id, fresh=True)
    assert len(final.metadata) == 1 + 8 * 5
    assert final.version == 1 + 8 * 5 * 2
    assert [seq for seq, _ in events(created.id)] == list(range(1, final.version + 1))
    assert manager.get_session(created.id) == final


def test_two_writers_of_different_fields_are_both_kept(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)
    start = threading.Barrier(2)

    def write(changes: dict[str, Any]) -> None:
        try:
            start.wait()
            UnifiedSessionManager(tiers=manager._tiers).update_session(created.id, changes)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [{"email": "x@example.org"}, {"metadata": {"a": 1}}]))

    final = manager.get_session(created.id, fresh=True)
    assert (final.email, final.metadata) == ("x@example.org", {"a": 1})


def test_r10_state_and_event_roll_back_together(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)

    def change_and_fail() -> None:
        with transaction.atomic():
            manager.update_session(created.id, {"email": "bo@example.org"})
            assert manager.get_session(created.id).email == "bo@example.org"  # our own write
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()

    assert manager.get_session(created.id) == created
    assert manager.get_session(created.id, fresh=True) == created
    assert len(events(created.id)) == 1


def test_a_read_inside_a_transaction_fills_no_cache(
    manager: UnifiedSessionManager, redis_client: redis.Redis
) -> None:
    created = manager.create_session(**ORDER)

    with transaction.atomic():
        manager.update_session(created.id, {"email": "bo@example.org"})
        manager.get_session(created.id)
        assert redis_client.get(f"su:{{{created.id}}}") is None


# Between processes


def test_a_write_in_one_process_is_dropped_from_the_others_l1(
    make_tiers: MakeTiers, manager: UnifiedSessionManager
) -> None:
    other = warm(UnifiedSessionManager(tiers=make_tiers()))
    created = manager.create_session(**ORDER)
    assert other.get_session(created.id) == created

    updated = manager.update_session(created.id, {"email": "bo@example.org"})

    wait_for(lambda: other.get_session(created.id) == updated)


@pytest.mark.parametrize("method", ["put", "delete_many"])
def test_a_reader_between_the_commit_and_redis_hides_no_write_from_its_writer(
    manager: UnifiedSessionManager, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tiers = manager._tiers
    assert tiers.redis is not None
    assert tiers.memory is not None
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)
    tiers.memory.clear()
    tiers.redis.channel = "nobody-listens"  # this process' own message would help a moment later
    tell_redis = getattr(tiers.redis, method)

    def read_and_tell_redis(what: Any) -> None:
        UnifiedSessionManager(tiers=tiers).get_session(created.id)  # Redis' older copy fills L1
        tell_redis(what)

    monkeypatch.setattr(tiers.redis, method, read_and_tell_redis)

    if method == "put":
        with transaction.atomic():  # so that the update's own read leaves nothing in L1
            updated = manager.update_session(created.id, {"email": "bo@example.org"})
        assert manager.get_session(created.id) == updated
    else:
        manager.delete_session(created.id)
        with pytest.raises(SessionNotFoundError):
            manager.get_session(created.id)


def test_r06_a_cut_channel_empties_and_bypasses_l1(
    make_tiers: MakeTiers, manager: UnifiedSessionManager, redis_client: redis.Redis
) -> None:
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)
    memory, channel = manager._tiers.memory, manager._tiers.channel
    assert memory is not None
    assert channel is not None
    assert len(memory) == 1
    channel._redis.channel = "nothing-comes-here"  # the subscription after the cut is deaf
    channel._ping_channel = "nobody-answers"

    redis_client.client_kill_filter(_type="pubsub")
    wait_for(lambda: len(memory) == 0)

    assert manager.get_session(created.id) == created


def test_r06_a_load_that_began_before_the_subscription_is_not_kept(
    make_tiers: MakeTiers, redis_client: redis.Redis
) -> None:
    tiers = make_tiers(HEARTBEAT_SECONDS=0.5)
    manager = warm(UnifiedSessionManager(tiers=tiers))
    created = manager.create_session(**ORDER)
    memory, channel = tiers.memory, tiers.channel
    assert memory is not None
    assert channel is not None
    redis_client.client_kill_filter(_type="pubsub")
    wait_for(lambda: not channel.is_alive())

    lease = memory.read(created.id).lease or ""
    copy = tiers.database.peek(created.id)
    # Here another process commits a version, and publishes it to nobody.
    wait_for(channel.is_alive)

    assert copy is not None
    assert not memory.fill(copy, lease)


def test_r06_a_client_that_reconnects_by_itself_empties_l1(
    make_tiers: MakeTiers, redis_client: redis.Redis, settings: SettingsWrapper
) -> None:
    # redis-py's own default: it retries, and subscribes again, without a word.
    pool = {"max_connections": 64, "retry": Retry(NoBackoff(), 3)}
    chosen = settings.CACHES["default"]
    options = chosen["OPTIONS"] | {"CONNECTION_POOL_KWARGS": pool}
    # The address too, for django-redis keeps one pool an address.
    location = f"{chosen['LOCATION']}?client_name=retries"
    settings.CACHES = {"default": chosen | {"OPTIONS": options, "LOCATION": location}}
    manager = warm(UnifiedSessionManager(tiers=make_tiers()))
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)
    memory = manager._tiers.memory
    assert memory is not None
    assert len(memory) == 1

    redis_client.client_kill_filter(_type="pubsub")

    wait_for(lambda: len(memory) == 0)


def test_a_message_that_nobody_understands_does_not_end_the_channel(
    make_tiers: MakeTiers, manager: UnifiedSessionManager, redis_client: redis.Redis
) -> None:
    memory, channel = manager._tiers.memory, manager._tiers.channel
    assert memory is not None
    assert channel is not None
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)

    redis_client.publish(channel._redis.channel, b"\xff no version")

    wait_for(lambda: len(memory) == 0)
    warm(manager)


def test_r05_no_answer_is_older_than_the_bound(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    reader = warm(UnifiedSessionManager(tiers=make_tiers(clock=clock)))
    writer = UnifiedSessionManager(tiers=make_tiers(clock=clock, L1_ENABLED=False))
    writer._tiers.redis = None  # every put and every message is lost
    created = writer.create_session(**ORDER)
    reader.get_session(created.id)
    updated = writer.update_session(created.id, {"email": "bo@example.org"})

    clock.advance(seconds=59)
    within = reader.get_session(created.id)
    clock.advance(seconds=1)
    past = reader.get_session(created.id)

    assert within == created  # stale, as published
    assert past == updated


# Delete


def test_r04_a_deleted_session_is_gone_for_good(
    make_tiers: MakeTiers, manager: UnifiedSessionManager
) -> None:
    other = warm(UnifiedSessionManager(tiers=make_tiers()))
    created = manager.create_session(**ORDER)
    other.get_session(created.id)

    manager.delete_session(created.id)

    with pytest.raises(SessionNotFoundError):
        manager.get_session(created.id)

    def gone() -> bool:
        try:
            other.get_session(created.id)
        except SessionNotFoundError:
            return True
        return False

    wait_for(gone)
    row = UnifiedSession.objects.get(pk=created.id)
    assert row.deleted_at is not None
    assert (row.email, row.products, row.metadata, row.transaction_id) == (None, [], {}, None)
    assert events(created.id)[-1] == (2, "session_deleted")
    with pytest.raises(SessionNotFoundError):
        manager.delete_session(created.id)
    with pytest.raises(InvalidChangeError):
        manager.create_session(session_id=created.id)


def test_a_held_session_is_neither_deleted_nor_expired(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)
    with manager.lock_session(created.id) as locked:
        locked.hold()

    with pytest.raises(SessionHeldError):
        manager.delete_session(created.id)
    with pytest.raises(SessionHeldError):
        manager.expire_session(created.id)

    with manager.lock_session(created.id) as locked:
        locked.release()
    manager.delete_session(created.id)


# Expiry


def test_r11_an_expired_session_is_never_returned_even_with_cleanup_stopped(
    make_tiers: MakeTiers,
) -> None:
    clock = FrozenClock()
    manager = warm(UnifiedSessionManager(tiers=make_tiers(clock=clock)))
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)

    clock.advance(hours=24)

    with pytest.raises(SessionExpiredError) as caught:
        manager.get_session(created.id)
    assert caught.value.session is not None
    assert caught.value.session.status == "expired"
    assert events(created.id)[-1] == (2, "session_expired")
    with pytest.raises(SessionExpiredError):
        manager.update_session(created.id, {"email": "x@example.org"})
    assert manager.get_sessions([created.id]) == {}


def test_a_paid_session_past_its_end_is_completed_on_sight(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    session = paid(manager, manager.create_session(**ORDER))

    clock.advance(minutes=31)
    seen = manager.get_session(session.id)
    clock.advance(hours=24)

    assert (seen.status, seen.current_step) == ("completed", "success")
    with pytest.raises(SessionExpiredError):  # past the receipt limit
        manager.get_session(session.id)


def test_a_held_session_past_its_end_is_returned(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    created = manager.create_session(**ORDER)
    with manager.lock_session(created.id) as locked:
        locked.hold()

    clock.advance(days=3)

    assert manager.get_session(created.id).status == "pending"


def test_a_touch_slides_the_idle_limit_without_a_version(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    session = paid(manager, manager.create_session(**ORDER))

    clock.advance(minutes=20)
    manager.touch_session(session.id)
    clock.advance(minutes=20)
    seen = manager.get_session(session.id)
    clock.advance(minutes=11)

    assert seen == session
    assert manager.get_session(session.id).status == "completed"


def test_validation_judges_an_end_as_reads_do(make_tiers: MakeTiers) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    touched = manager.create_session(**ORDER)
    for move in (
        {"status": "processing", "current_step": step} for step in ("processing", "upsell-1")
    ):
        manager.update_session(touched.id, move)
    bought = paid(manager, manager.create_session(**ORDER))
    clock.advance(minutes=20)
    manager.touch_session(touched.id)
    clock.advance(minutes=20)

    alive = [manager.validate_session(each.id).is_expired for each in (touched, bought)]
    read = [manager.get_session(each.id).status for each in (touched, bought)]
    clock.advance(minutes=10)

    assert alive == [False, False]
    assert read == ["processing", "completed"]
    assert manager.validate_session(touched.id).is_expired


def test_an_extension_moves_the_end_and_never_past_the_absolute_limit(
    make_tiers: MakeTiers,
) -> None:
    clock = FrozenClock()
    manager = UnifiedSessionManager(tiers=make_tiers(clock=clock))
    session = paid(manager, manager.create_session(**ORDER))

    longer = manager.extend_session(session.id, timedelta(hours=2))
    longest = manager.extend_session(session.id, timedelta(days=9))
    shorter = manager.extend_session(session.id, timedelta(minutes=1))
    by_staff = manager.extend_session(session.id, timedelta(days=9), past_limit=True)

    assert longer.expires_at == clock.now() + timedelta(hours=2)
    assert longest.expires_at == session.created_at + timedelta(hours=24) == shorter.expires_at
    assert by_staff.expires_at == clock.now() + timedelta(days=9)


# Without Redis


def test_r12_without_redis_everything_works_and_says_that_it_is_degraded(
    make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = make_tiers()
    manager = UnifiedSessionManager(tiers=tiers)
    assert tiers.redis is not None
    for _ in range(3):
        tiers.redis.breaker.failed()
    created = manager.create_session(**ORDER)

    read = manager.get_session(created.id)
    updated = manager.update_session(created.id, {"email": "bo@example.org"})
    manager.touch_session(created.id)

    assert read == created
    assert manager.get_session(created.id) == updated
    assert manager.degraded == {"redis"}
    assert UnifiedSession.objects.get(pk=created.id).last_seen_at is not None


# The log


@pytest.mark.parametrize("sql", ["UPDATE {} SET kind = 'x'", "DELETE FROM {}"])
def test_the_event_log_is_append_only(manager: UnifiedSessionManager, sql: str) -> None:
    from django.db import InternalError, ProgrammingError

    manager.create_session(**ORDER)

    refused = pytest.raises((InternalError, ProgrammingError), match="append-only")
    with refused, connection.cursor() as cursor:
        cursor.execute(sql.format(SessionEvent._meta.db_table))


@pytest.mark.django_db(transaction=True)
def test_events_carry_the_transaction_that_wrote_them(manager: UnifiedSessionManager) -> None:
    first = manager.create_session(**ORDER)
    second = manager.create_session(**ORDER)

    log = list(SessionEvent.objects.order_by("xid", "position"))

    assert [event.session_id for event in log] == [first.id, second.id]
    assert 0 < log[0].xid < log[1].xid


def test_dropping_copies_drops_them_in_every_process(
    make_tiers: MakeTiers, manager: UnifiedSessionManager
) -> None:
    other = warm(UnifiedSessionManager(tiers=make_tiers()))
    created = manager.create_session(**ORDER)
    for each in (manager, other):
        each.get_session(created.id)
    memories = [memory for each in (manager, other) if (memory := each._tiers.memory) is not None]

    assert manager.drop_copies(created.id)

    wait_for(lambda: [memory.peek(created.id) for memory in memories] == [None, None])
    assert manager._tiers.redis is not None
    assert manager._tiers.redis.peek(created.id) is None
    assert other.get_session(created.id) == created


def test_async_callers_have_twins(manager: UnifiedSessionManager) -> None:
    async_to_sync(_walk_async)(manager)


async def _walk_async(manager: UnifiedSessionManager) -> None:
    created = await manager.acreate_session(**ORDER)

    updated = await manager.aupdate_session(created.id, {"email": "bo@example.org"}, if_version=1)
    extended = await manager.aextend_session(created.id)
    await manager.atouch_session(created.id)

    assert await manager.aget_session(created.id) == updated == extended
    assert await manager.aget_sessions([created.id]) == {created.id: updated}
    assert (await manager.avalidate_session(created.id)).tiers_agree
    await manager.adelete_session(created.id)
    with pytest.raises(SessionNotFoundError):
        await manager.aget_session(created.id)


def test_metadata_that_redis_cannot_hold_is_read_from_the_database(
    manager: UnifiedSessionManager,
) -> None:
    created = manager.create_session(**ORDER)
    UnifiedSession.objects.filter(pk=created.id).update(metadata={"big": 10**22})

    read = manager.get_session(created.id)
    updated = manager.update_session(created.id, {"email": "bo@example.org"})

    assert read.metadata == {"big": 10**22}
    assert manager.get_session(created.id) == updated
    assert manager._tiers.redis is not None
    assert manager._tiers.redis.peek(created.id) is None

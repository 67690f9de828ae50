"""The auditor: what the caches hold against the database, over real servers."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.db import connection
from django.utils import timezone

from sessions_unified import auditing
from sessions_unified.auditing import audit, audit_sample
from sessions_unified.auditing.choosing import cached as cached_ids
from sessions_unified.auditing.choosing import sampled, stored
from sessions_unified.auditing.report import MEANINGS
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.metrics import AUDITED, DIVERGENCES
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.relay import Relay, consumers_of
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import Copy, codec
from tests.managing import ORDER, that_dies, wait_for, warm

if TYPE_CHECKING:
    import redis
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.auditing.report import AuditReport
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers
    from tests.managing import MakeTiers

pytestmark = pytest.mark.usefixtures("time_for_redis")

PATIENCE = 0.05


@pytest.fixture
def tiers(make_tiers: MakeTiers) -> Tiers:
    return make_tiers(L1_ENABLED=False)


@pytest.fixture
def manager(tiers: Tiers) -> UnifiedSessionManager:
    return UnifiedSessionManager(tiers=tiers)


def cached(manager: UnifiedSessionManager) -> SessionSnapshot:
    """Return a session of which Redis holds a copy."""
    session = manager.create_session(**ORDER)
    return manager.get_session(session.id)


def look(tiers: Tiers, **options: Any) -> AuditReport:
    return audit(tiers, patience_seconds=PATIENCE, **options)


def kinds(report: AuditReport) -> dict[tuple[str, str], int]:
    return dict(report.counts)


def plant(
    tiers: Tiers, redis_client: redis.Redis, session: SessionSnapshot, **changes: Any
) -> None:
    """Put a copy into Redis that no code of ours would."""
    copy = Copy(msgspec.structs.replace(session, **changes), tiers.clock.now())
    redis_client.set(tiers.redis.key(session.id), codec.encode(copy), ex=30)


def test_what_agrees_is_counted_and_nothing_more(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    sessions = [cached(manager) for _ in range(3)]
    manager.delete_session(sessions[0].id)
    manager.update_session(sessions[1].id, {"metadata": {"gift": True}})
    manager.create_session(**ORDER)
    before = AUDITED._value.get()

    report = look(tiers)

    assert (report.sessions, report.copies) == (4, 2)
    assert (report.found, report.remaining, report.cases) == (0, 0, [])
    assert AUDITED._value.get() - before == 4


def test_a_stale_copy_is_found_and_repaired(manager: UnifiedSessionManager, tiers: Tiers) -> None:
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {"gift": True}})

    found = look(tiers)
    repaired = look(tiers, repair=True)
    afterwards = look(tiers)

    assert kinds(found) == kinds(repaired) == {("redis", "stale"): 1}
    (case,) = found.cases
    assert (case.session_id, case.holds, case.truth, case.fields) == (session.id, 1, 2, ())
    assert (found.remaining, repaired.remaining, afterwards.found) == (1, 0, 0)
    assert manager.get_session(session.id).version == 2


def test_what_the_relay_mends_meanwhile_is_no_divergence(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {}})
    relay = threading.Timer(0.2, Relay(consumers_of(tiers), tiers).drain)
    relay.start()

    report = audit(tiers, patience_seconds=1)
    relay.join()

    assert report.found == 0


def test_a_copy_that_changes_meanwhile_is_no_divergence(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    """A busy session looks stale again and again, and is another copy each time."""
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {"by": "the dead"}})

    def write_and_die_again() -> None:
        manager.update_session(session.id, {"metadata": {"by": "the living"}})
        that_dies(tiers).update_session(session.id, {"metadata": {"by": "the dead, again"}})
        connection.close()

    writer = threading.Timer(0.1, write_and_die_again)
    writer.start()
    report = audit(tiers, patience_seconds=0.6)
    writer.join()

    assert report.found == 0
    assert look(tiers).found == 1


def test_a_copy_that_differs_names_fields_and_no_values(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    session = cached(manager)
    plant(tiers, redis_client, session, email="eve@example.org", vault_id="117041394")

    report = look(tiers)

    (case,) = report.cases
    assert (case.kind, case.fields) == ("differs", ("email", "vault_id"))
    said = f"{case} {report.as_json()}"
    for secret in ("eve@", "ana@", "117041394"):
        assert secret not in said


def test_a_copy_under_anothers_key_is_found(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    session, other = manager.create_session(**ORDER), manager.create_session(**ORDER)
    copy = codec.encode(Copy(other, tiers.clock.now()))
    redis_client.set(tiers.redis.key(session.id), copy, ex=30)

    (case,) = look(tiers).cases

    assert (case.session_id, case.kind, case.fields) == (session.id, "differs", ("id",))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"version": 7}, "ahead"), ({"id": "ws_1_gone"}, "orphan"), ({"version": 1}, None)],
)
def test_ahead_and_orphan(
    changes: dict[str, Any],
    kind: str | None,
    manager: UnifiedSessionManager,
    tiers: Tiers,
    redis_client: redis.Redis,
) -> None:
    planted = msgspec.structs.replace(manager.create_session(**ORDER), **changes)
    plant(tiers, redis_client, planted)

    report = look(tiers, repair=True)

    assert [case.kind for case in report.cases] == ([kind] if kind else [])
    assert report.remaining == 0
    assert redis_client.exists(tiers.redis.key(planted.id)) == (kind is None)


def test_r02_a_copy_of_a_deleted_session_is_an_orphan(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    session = cached(manager)
    manager.delete_session(session.id)
    plant(tiers, redis_client, session)

    report = look(tiers, repair=True)

    assert kinds(report) == {("redis", "orphan"): 1}
    assert redis_client.exists(tiers.redis.key(session.id)) == 0


def test_what_cannot_be_read_and_what_never_ends(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    ids = [cached(manager).id for _ in range(4)]
    keys = [tiers.redis.key(session_id) for session_id in ids]
    redis_client.set(keys[0], b"C9garbage", ex=30)
    redis_client.delete(keys[1])
    redis_client.rpush(keys[1], "a list")
    redis_client.persist(keys[2])
    redis_client.set(keys[3], b"Labc")  # a lease without an end: no load would ever be kept

    report = look(tiers, repair=True)

    found = {case.session_id: case.kind for case in report.cases}
    assert found == dict(
        zip(ids, ["unreadable", "unreadable", "immortal", "immortal"], strict=True)
    )
    assert report.remaining == 0
    assert redis_client.exists(*keys) == 0


def test_a_copy_from_the_future_would_outlive_the_bound(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    session = manager.create_session(**ORDER)
    copy = Copy(session, tiers.clock.now() + timedelta(hours=1))
    redis_client.set(tiers.redis.key(session.id), codec.encode(copy), ex=30)

    assert kinds(look(tiers)) == {("redis", "immortal"): 1}


def test_a_copy_past_the_bound_is_served_by_nobody(
    make_tiers: MakeTiers, redis_client: redis.Redis
) -> None:
    clock = FrozenClock()
    tiers = make_tiers(clock=clock)
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)
    plant(tiers, redis_client, session, email="eve@example.org")
    clock.advance(seconds=61)

    assert look(tiers).found == 0


def test_l1_of_this_process_is_compared_too(make_tiers: MakeTiers) -> None:
    tiers = make_tiers()
    manager = warm(UnifiedSessionManager(tiers=tiers))
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {}})

    report = look(tiers, ids=[session.id], repair=True)

    assert kinds(report) == {("redis", "stale"): 1, ("memory", "stale"): 1}
    assert report.remaining == 0
    assert manager.get_session(session.id).version == 2


def test_a_repair_reaches_the_l1_of_other_processes(
    make_tiers: MakeTiers, tiers: Tiers, redis_client: redis.Redis
) -> None:
    other = warm(UnifiedSessionManager(tiers=make_tiers()))
    session = other.create_session(**ORDER)
    plant(tiers, redis_client, session, email="eve@example.org")
    wait_for(lambda: other.get_session(session.id).email == "eve@example.org")

    report = look(tiers, repair=True)
    wait_for(lambda: other.get_session(session.id).email != "eve@example.org")

    assert (report.repaired, report.remaining) == (1, 0)
    assert other.get_session(session.id) == session


def test_r10_a_row_that_changed_without_its_event_is_reported_and_left(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    changed, lost = manager.create_session(**ORDER), manager.create_session(**ORDER)
    UnifiedSession.objects.filter(pk=changed.id).update(version=5)
    with connection.cursor() as cursor:
        cursor.execute("SET sessions_unified.purging = 'on'")
        SessionEvent.objects.filter(session_id=lost.id).delete()
        cursor.execute("RESET sessions_unified.purging")

    report = look(tiers, repair=True)

    assert kinds(report) == {("database", "log"): 2}
    assert {(each.session_id, each.holds, each.truth) for each in report.cases} == {
        (changed.id, 5, 1),
        (lost.id, 1, None),
    }
    assert (report.repaired, report.remaining) == (0, 2)


def test_a_tombstone_whose_events_were_dropped_is_in_order(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    session = manager.create_session(**ORDER)
    manager.delete_session(session.id)
    with connection.cursor() as cursor:
        cursor.execute("SET sessions_unified.purging = 'on'")
        SessionEvent.objects.all().delete()
        cursor.execute("RESET sessions_unified.purging")

    assert look(tiers).found == 0


def test_all_goes_through_all_rows_and_all_keys_once(
    manager: UnifiedSessionManager, tiers: Tiers, redis_client: redis.Redis
) -> None:
    now = timezone.now()
    ids = [f"ws_1_{number:04}" for number in range(450)]
    UnifiedSession.objects.bulk_create(
        UnifiedSession(id=each, currency="USD", created_at=now, updated_at=now, expires_at=now)
        for each in ids
    )
    orphans = [f"ws_2_{number:04}" for number in range(300)]
    redis_client.mset({tiers.redis.key(each): b"L1" for each in orphans})
    others = ["su:{ws_1_0}:other", "su:{ws_1_0}:{other}", "su:{\0}", "su:touches", "celery"]
    redis_client.mset(dict.fromkeys(others, b"1"))

    batches = list(stored(tiers))
    pages = list(cached_ids(tiers))

    assert max(len(batch) for batch in batches) <= 200
    assert [each for batch in batches for each in batch] == ids
    assert sorted(each for page in pages for each in page) == orphans
    assert max(len(page) for page in pages) < 300


def test_what_is_met_from_both_sides_counts_once(tiers: Tiers, redis_client: redis.Redis) -> None:
    now = timezone.now()
    UnifiedSession.objects.bulk_create(
        UnifiedSession(
            id=f"ws_1_{number:04}", currency="USD", created_at=now, updated_at=now, expires_at=now
        )
        for number in range(200)
    )
    redis_client.set(tiers.redis.key("ws_1_0007"), b"Labc", ex=30)

    report = look(tiers)

    assert kinds(report) == {("database", "log"): 200}
    assert (len(report.cases), report.sessions) == (100, 200)


def test_a_repair_that_had_no_effect_is_none(
    manager: UnifiedSessionManager, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {}})
    monkeypatch.setattr(tiers.redis, "delete_many", lambda versions: None)

    report = look(tiers, repair=True)

    assert kinds(report) == {("redis", "stale"): 1}
    assert (report.repaired, report.remaining) == (0, 1)


def test_a_sample_has_what_changed_last_and_some_of_the_rest(
    manager: UnifiedSessionManager, tiers: Tiers
) -> None:
    ids = [manager.create_session(**ORDER).id for _ in range(30)]
    cached(manager)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions_unified_unifiedsession")

    chosen = [each for batch in sampled(tiers, 10) for each in batch]

    assert set(ids[-4:]) < set(chosen)
    assert 5 < len(set(chosen)) <= 10


def test_a_tier_that_is_down_is_said(make_tiers: MakeTiers, settings: SettingsWrapper) -> None:
    here = settings.CACHES["default"]
    settings.CACHES = {"default": here | {"LOCATION": "redis://127.0.0.1:1/0"}}
    tiers = make_tiers()
    session = UnifiedSessionManager(tiers=tiers).create_session(**ORDER)

    with pytest.raises(TierUnavailableError):
        look(tiers, ids=[session.id])
    assert audit_sample() == 0


def test_the_scheduled_sample_repairs_and_logs(
    manager: UnifiedSessionManager,
    tiers: Tiers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = cached(manager)
    that_dies(tiers).update_session(session.id, {"metadata": {}})
    counter = DIVERGENCES.labels("redis", "stale")._value
    before = counter.get()
    monkeypatch.setattr(audit, "__kwdefaults__", audit.__kwdefaults__ | {"patience_seconds": 0.05})

    look(tiers)
    by_hand = counter.get() - before
    assert audit_sample() == 0

    assert (by_hand, counter.get() - before) == (0, 1)
    assert f"stale {session.id}: redis holds v1, the database has v2" in caplog.text
    assert manager.get_session(session.id).version == 2


def test_every_kind_has_a_meaning() -> None:
    wanted = {"stale", "differs", "ahead", "orphan", "unreadable", "immortal", "log"}

    assert set(MEANINGS) == wanted
    assert auditing.__all__ == ["audit", "audit_sample"]


def test_a_copy_of_the_next_release_is_no_divergence(
    tiers: Tiers, manager: UnifiedSessionManager, redis_client: redis.Redis
) -> None:
    session = cached(manager)
    key = tiers.redis.key(session.id)  # type: ignore[union-attr]  # it exists
    value = redis_client.get(key) or b""
    redis_client.set(key, value[:33] + b"9" + value[34:], px=30_000)

    report = look(tiers, repair=True)

    assert kinds(report) == {}
    assert redis_client.exists(key)

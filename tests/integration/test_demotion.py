"""Endpoints that go back to `shadow` by themselves, and those that do not."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections
from msgspec import structs

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.parity import pool
from legacy_adapters.migration.parity.summing import minutes, parity_of
from legacy_adapters.migration.parity.watching import note_read
from legacy_adapters.migration.stages import moving, store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.steering import demotion, operating
from legacy_adapters.migration.steering.demotion import check
from legacy_adapters.models import EndpointStage, ParityMinute, StageChange
from sessions_unified import get_manager
from sessions_unified.money import quantize
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers import rows as reading
from sessions_unified.tiers.database import DatabaseTier
from tests.charges import start
from tests.managing import wait_for
from tests.migrating import migrating_shop, to_stage
from tests.parity import FAST, change_here, read, wait_for_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from pytest_django.fixtures import SettingsWrapper

    from legacy_adapters.base import LegacyRecord
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Copy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

# Where nothing is done by threads, one transaction is enough, and quicker.
alone = pytest.mark.django_db(transaction=False)


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        settings.MIGRATION = FAST
        yield


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the pool's own thread neither write nor judge: the test does."""
    monkeypatch.setattr(pool, "FLUSH_SECONDS", 3600)


@contextmanager
def elsewhere(statement: str, *params: object) -> Iterator[None]:
    """Have another transaction stand after this statement."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(statement, params)
        yield
        cursor.execute("ROLLBACK")
    other.close()


def stage_of(endpoint: str = "session.detail") -> tuple[str, float]:
    place = EndpointStage.objects.get(pk=endpoint)
    return place.stage, float(place.percent)


def fail(number: int, *, of: int, endpoint: str = "session.detail") -> None:
    """Note failed reads of the unified side, among others."""
    for each in range(of):
        note_read(endpoint, Stage.LIVE, "ws_1", seconds=0.001, failed=each < number)
    pool.flush()


def test_a_bug_of_the_unified_side_demotes_the_endpoint_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "FLUSH_SECONDS", 0.05)
    to_stage("live", percent=50)
    to_stage("live")
    session_id = start()
    change_here(session_id, email="eva@example.org")

    for _ in range(5):
        read(session_id)
    wait_for(lambda: stage_of()[0] == "shadow")

    assert stage_of() == ("shadow", 100)
    place = EndpointStage.objects.get(pk="session.detail")
    assert place.demoted_at is not None
    change = StageChange.objects.latest("pk")
    assert change.is_automatic
    assert (change.from_stage, change.to_stage, change.actor) == ("live", "shadow", "demotion")
    assert "5 confirmed differences of 5" in change.reason
    assert "email 5" in change.reason
    assert change.gates[0]["name"] == "mismatches"
    assert stage_of("checkout.process") == ("live", 100)
    wait_for(lambda: getattr(STAGES._view, "epoch", None) == change.pk)  # without a read


def reads_cents(amount: Decimal, currency: str) -> Decimal:
    return quantize(amount / 100, currency)


def maps_no_products(self: DatabaseAdapter, record: LegacyRecord) -> SessionSnapshot:
    return structs.replace(TO_UNIFIED(self, record), products=())


TO_UNIFIED = DatabaseAdapter.to_unified


@pytest.mark.parametrize(
    ("where", "name", "bug", "field"),
    [
        (reading, "quantize", reads_cents, "amount"),
        (DatabaseAdapter, "to_unified", maps_no_products, "products"),
    ],
    ids=["reading", "mapping"],
)
def test_a_bug_in_the_code_is_confirmed_and_demotes(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, bug: Any, field: str
) -> None:
    to_stage("live")
    session_id = start()
    monkeypatch.setattr(where, name, bug)

    for _ in range(5):
        read(session_id)
    wait_for_counts(confirmed=5)
    changes = check(get_tiers())

    assert [change.endpoint for change in changes] == ["session.detail"]
    assert f"5 confirmed differences of 5 comparisons (limit 5): {field} 5" in changes[0].reason
    assert stage_of() == ("shadow", 100)


@alone
@pytest.mark.usefixtures("still")
def test_a_new_advance_starts_afresh_even_within_the_same_minute() -> None:
    to_stage("live")
    fail(20, of=100)
    (change,) = check(get_tiers())
    assert change.endpoint == "session.detail"

    to_stage("live", "session.detail")

    assert check(get_tiers()) == []
    fail(19, of=19)
    assert check(get_tiers()) == []
    fail(1, of=1)
    assert len(check(get_tiers())) == 1


@alone
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("failed", "of", "demotes"), [(20, 2_000, 1), (19, 19, 0), (20, 2_001, 0)])
def test_errors_demote_if_they_are_many_and_a_part_of_all(
    failed: int, of: int, demotes: int
) -> None:
    to_stage("live", percent=50)
    fail(failed, of=of)

    found = check(get_tiers())

    assert len(found) == demotes
    assert stage_of() == (("shadow", 100) if demotes else ("live", 50))
    if demotes:
        assert found[0].reason == "20 of 2000 reads failed (limit 20, and 1.00%)"


# What the legacy side took is measured by threads of a busy machine: the least decides here, and
# the ratio in the tests below.
SLOW = {"DEMOTE_LATENCY_RATIO": 0.01, "DEMOTE_LATENCY_MIN_MS": 20, "SHADOW_QUEUE": 1000}


def slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have our database take 20 ms longer for every session that it is asked for."""
    plain = DatabaseTier.peek

    def peek_slowly(self: DatabaseTier, session_id: str) -> Copy | None:
        self.fetch("SELECT pg_sleep(0.02)", [])
        return plain(self, session_id)

    monkeypatch.setattr(DatabaseTier, "peek", peek_slowly)


def read_afresh(session_id: str, *, times: int) -> None:
    """Read as shoppers do that no cache serves."""
    for _ in range(times):
        get_manager("session.detail").get_session(session_id, fresh=True)
    pool.flush()


@pytest.mark.usefixtures("still")
def test_a_unified_side_that_shoppers_wait_for_demotes_at_live_and_at_ramp_down(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MIGRATION = {**FAST, **SLOW}
    to_stage("live")
    session_id = start()
    read_afresh(session_id, times=50)
    wait_for_counts(agreed=50)
    slow_down(monkeypatch)

    read_afresh(session_id, times=25)
    (at_live,) = check(get_tiers())

    assert at_live.gates[0]["name"] == "latency"
    assert at_live.endpoint == "session.detail"
    assert ", of the legacy side " in at_live.reason

    to_stage("ramp_down")
    read_afresh(session_id, times=49)
    assert check(get_tiers()) == []  # too few yet
    read_afresh(session_id, times=1)
    (at_ramp_down,) = check(get_tiers())

    assert (at_ramp_down.from_stage, at_ramp_down.to_stage) == ("ramp_down", "shadow")
    assert "of the legacy side, when it was last compared, " in at_ramp_down.reason


def minute_of(**fields: Any) -> ParityMinute:
    """Store a minute of the present stage, as processes do."""
    return ParityMinute.objects.create(
        **{
            "endpoint": "session.detail",
            "stage": "live",
            "epoch": StageChange.objects.latest("pk").pk,
            "minute": get_tiers().clock.now().replace(second=0, microsecond=0),
            **fields,
        }
    )


@alone
@pytest.mark.parametrize(
    ("legacy_ms", "unified_ms", "demotes"),
    [
        ({"20": 100}, {"200": 100}, True),
        ({"50": 100}, {"200": 100}, False),  # not five times
        ({"1": 100}, {"100": 100}, False),  # not over the least
        ({"20": 49}, {"200": 100}, False),  # too few
        ({"20": 100}, {"200": 49}, False),
        ({"20": 100}, {"200": 4, "5": 96}, False),  # too few are slow
    ],
)
def test_latency_is_judged_by_ratio_by_a_least_and_by_enough_samples(
    legacy_ms: dict[str, int], unified_ms: dict[str, int], demotes: bool
) -> None:
    to_stage("ramp_down")
    minute_of(stage="ramp_down", legacy_ms=legacy_ms, unified_ms=unified_ms)

    assert bool(check(get_tiers())) is demotes
    assert stage_of() == ("shadow" if demotes else "ramp_down", 100)


@alone
@pytest.mark.parametrize(
    ("served_ms", "legacy_ms", "days", "demotes"),
    [
        ({"200": 100}, {"20": 100}, 0, True),
        ({"200": 100}, {"20": 100}, 30, True),  # the last that is known
        ({"200": 100}, {"50": 100}, 30, False),  # not five times
        ({"200": 100}, {"20": 49}, 30, False),  # too few
        ({"5": 100}, {"20": 100}, 0, False),  # shoppers do not wait; the comparisons' reads do
        ({"200": 49}, {"1": 100}, 0, False),  # too few, and the comparisons' are few as well
    ],
)
def test_what_shoppers_waited_for_is_judged_by_the_last_legacy_figure(
    served_ms: dict[str, int], legacy_ms: dict[str, int], days: int, demotes: bool
) -> None:
    to_stage("ramp_down")
    now = get_tiers().clock.now().replace(second=0, microsecond=0)
    many = sum(served_ms.values()) > 49
    minute_of(stage="ramp_down", served_ms=served_ms, unified_ms={"500": 100 if many else 49})
    minute_of(stage="live", legacy_ms=legacy_ms, minute=now - timedelta(days=days))
    minute_of(stage="live", legacy_ms={"1": 900}, minute=now - timedelta(days=days + 1))
    minute_of(endpoint="upsell.process", legacy_ms={"1": 900})

    assert bool(check(get_tiers())) is demotes


@alone
@pytest.mark.usefixtures("still")
def test_reads_that_fail_slowly_are_slow(settings: SettingsWrapper) -> None:
    settings.MIGRATION = {**FAST, "DEMOTE_AFTER_ERRORS": 1_000}
    to_stage("ramp_down")
    minute_of(stage="live", legacy_ms={"5": 50})
    for number in range(50):
        seconds = 2 if number < 5 else 0.001
        where = ("session.detail", Stage.RAMP_DOWN, "ws_1")
        note_read(*where, seconds=seconds, failed=seconds > 1)
    pool.flush()

    (change,) = check(get_tiers())

    assert change.gates[0]["name"] == "latency"


@alone
def test_neither_earlier_stages_nor_what_is_long_past_demote() -> None:
    to_stage("shadow")
    minute_of(stage="shadow", compared=9, confirmed=9)
    assert check(get_tiers()) == []

    to_stage("live")
    now = get_tiers().clock.now()
    minute_of(compared=9, confirmed=9, minute=now - timedelta(seconds=361))
    minute_of(compared=4, confirmed=4)

    assert check(get_tiers()) == []
    minute_of(stage="ramp_down", compared=1, confirmed=1)  # of sessions that are further
    assert len(check(get_tiers())) == 1


def test_of_several_processes_that_judge_at_once_one_demotes() -> None:
    to_stage("live")
    minute_of(compared=9, confirmed=9)
    found: list[StageChange] = []

    def run() -> None:
        found.extend(check(get_tiers()))
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1
    assert StageChange.objects.filter(is_automatic=True).count() == 1


@alone
def test_a_person_who_was_quicker_is_not_overruled() -> None:
    to_stage("live")
    minute_of(compared=9, confirmed=9)
    (verdict,) = demotion._verdicts(get_tiers(), None)
    to_stage("ramp_down", "session.detail")

    assert demotion._demote(get_tiers(), verdict) is None
    assert stage_of() == ("ramp_down", 100)


@alone
def test_a_person_who_is_quicker_between_two_looks_is_not_overruled_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage("live")
    minute_of(compared=9, confirmed=9)
    plain = operating.go_back

    def go_back_late(*args: Any, **kwargs: Any) -> StageChange:
        to_stage("dual_write", "session.detail")
        return plain(*args, **kwargs)

    monkeypatch.setattr(operating, "go_back", go_back_late)

    assert check(get_tiers()) == []
    assert stage_of() == ("dual_write", 100)


def test_writes_under_way_hold_it_up_until_the_next_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_WAIT", "50ms")
    to_stage("live")
    minute_of(compared=9, confirmed=9)
    with elsewhere("SELECT pg_advisory_xact_lock_shared(%s)", store._LOCK):
        assert check(get_tiers()) == []

    assert len(check(get_tiers())) == 1


def test_a_database_that_does_not_answer_demotes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    to_stage("live")
    minute_of(compared=9, confirmed=9)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE legacy_adapters_parityminute RENAME TO gone")
    try:
        assert check(get_tiers()) == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO legacy_adapters_parityminute")


# What the gates and the screens see of it


@alone
def test_parity_is_that_of_the_stage_since_then_and_goes_stale(settings: SettingsWrapper) -> None:
    to_stage("shadow")
    before = minute_of(stage="shadow", compared=50, confirmed=50)
    to_stage("off")
    to_stage("shadow")
    entered_at = EndpointStage.objects.get(pk="session.detail").entered_at
    minute_of(stage="shadow", compared=1000, agreed=990, transient=10, fields={"email": 1})
    tiers = get_tiers()

    found = parity_of(tiers, Endpoint.DETAIL, Stage.SHADOW, since=entered_at)

    assert (found.compared, found.agreed, found.transient, found.confirmed) == (1000, 990, 10, 0)
    assert found.lower_bound == pytest.approx(0.997302, abs=1e-6)
    assert found.last_at == before.minute
    assert found.to_json()["fields"] == {"email": 1}
    assert parity_of(tiers, Endpoint.DETAIL, Stage.LIVE, since=entered_at).lower_bound is None
    assert [each.compared for each in minutes(tiers, Endpoint.DETAIL, entered_at)] == [1050]
    settings.MIGRATION = {"PARITY_MAX_AGE_SECONDS": 3600}
    ParityMinute.objects.update(minute=before.minute - timedelta(hours=2))
    long_ago = entered_at - timedelta(days=1)
    stale = parity_of(get_tiers(), Endpoint.DETAIL, Stage.SHADOW, since=long_ago)
    assert (stale.compared, stale.lower_bound) == (0, None)

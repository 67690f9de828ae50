"""Each gate, shut by its reason and opened by taking that away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.steering import operating
from legacy_adapters.models import (
    EndpointStage,
    ParityMinute,
    ProcessReport,
    SessionConflict,
    StageChange,
    WriteMark,
)
from sessions_unified.clock import get_clock
from sessions_unified.tiers import get_tiers
from tests.migrating import migrating_shop, to_stage
from tests.operators import DETAIL, WHO, backfilled, compared, gate, names, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield


def mark(*, side: Side = Side.UNIFIED, age_seconds: float = 0, **fields: Any) -> WriteMark:
    now = get_clock().now()
    return WriteMark.objects.create(
        session_id="ws_1_a",
        side=side,
        bucket=1,
        marked_at=now - timedelta(seconds=age_seconds),
        due_at=now,
        **fields,
    )


def test_each_move_has_the_gates_of_the_contract() -> None:
    base = {"database", "fleet", "paused", "order"}
    up = base | {"backfill", "marks", "conflicts"}
    expected = {
        Stage.OFF: base,
        Stage.DUAL_WRITE: up,
        Stage.SHADOW: up | {"comparisons", "parity"},
        Stage.LIVE: up | {"comparisons", "parity"},
        Stage.RAMP_DOWN: base | {"marks", "unseen", "conflicts"},
    }
    for stage, gates in expected.items():
        to_stage(stage)
        assert names() == gates, stage


def test_more_sessions_go_through_the_gates_of_the_stage() -> None:
    to_stage(Stage.SHADOW)
    to_stage(Stage.LIVE, DETAIL, percent=10)

    assert names(percent=50) == names(stage=Stage.LIVE, percent=50)
    assert "parity" in names(percent=50)


def test_a_move_back_asks_for_the_database_alone() -> None:
    to_stage(Stage.LIVE)

    assert names(stage=Stage.OFF) == {"database"}


def test_fleet_waits_for_a_process_that_never_acknowledges() -> None:
    to_stage(Stage.DUAL_WRITE)
    report()
    late = report(epoch=0, name="worker")

    shut = gate("fleet")

    assert (shut.is_open, shut.figure) == (False, "1 of 2")
    assert "worker, here:4711" in shut.reason
    late.epoch = StageChange.objects.latest("id").pk
    late.save()
    assert gate("fleet").is_open


def test_fleet_does_not_wait_for_a_process_that_is_gone() -> None:
    to_stage(Stage.DUAL_WRITE)
    late = report(epoch=0, age_seconds=14)

    assert not gate("fleet").is_open
    ProcessReport.objects.update(reported_at=late.reported_at - timedelta(seconds=2))
    assert gate("fleet").is_open


def test_paused() -> None:
    operating.pause(get_tiers(), DETAIL, actor="ana", reason="The till is counted.")

    shut = gate("paused")
    with pytest.raises(operating.GatesShutError):
        operating.advance(get_tiers(), DETAIL, **WHO)
    operating.resume(get_tiers(), DETAIL, **WHO)

    assert not shut.is_open
    assert "The till is counted." in shut.reason
    assert gate("paused").is_open


@pytest.mark.parametrize(
    ("others", "percent", "mine", "is_open"),
    [
        (Stage.OFF, 100, Stage.DUAL_WRITE, False),
        (Stage.DUAL_WRITE, 99.99, Stage.DUAL_WRITE, False),
        (Stage.DUAL_WRITE, 100, Stage.DUAL_WRITE, True),
        (Stage.SHADOW, 1, Stage.DUAL_WRITE, True),
        (Stage.DUAL_WRITE, 100, Stage.LIVE, True),
        (Stage.LIVE, 100, Stage.RAMP_DOWN, False),
        (Stage.RAMP_DOWN, 99.99, Stage.RAMP_DOWN, False),
        (Stage.RAMP_DOWN, 100, Stage.RAMP_DOWN, True),
        (Stage.COMPLETE, 1, Stage.RAMP_DOWN, True),
    ],
)
def test_order_looks_at_the_others(
    others: Stage, percent: float, mine: Stage, is_open: bool
) -> None:
    to_stage(others, *set(Endpoint) - {DETAIL}, percent=percent)
    to_stage(mine, DETAIL)

    found = gate("order")

    assert found.is_open is is_open
    assert ("upsell.process" in found.reason) is not is_open


def test_order_takes_one_stage_after_the_other_each_for_all_sessions_first() -> None:
    to_stage(Stage.DUAL_WRITE)

    assert not gate("order", stage=Stage.LIVE).is_open
    to_stage(Stage.SHADOW, DETAIL, percent=50)
    assert not gate("order", stage=Stage.LIVE).is_open
    assert gate("order", stage=Stage.SHADOW, percent=60).is_open
    to_stage(Stage.SHADOW, DETAIL)
    assert gate("order", stage=Stage.LIVE).is_open


def test_backfill_must_begin_after_the_last_endpoint_writes_both_sides() -> None:
    to_stage(Stage.DUAL_WRITE, *set(Endpoint) - {Endpoint.SYNC})
    assert "It can begin once" in gate("backfill", stage=Stage.SHADOW).reason
    backfilled()
    to_stage(Stage.DUAL_WRITE, Endpoint.SYNC, percent=50)
    to_stage(Stage.DUAL_WRITE, Endpoint.SYNC)

    assert not gate("backfill").is_open
    backfilled()
    assert gate("backfill").is_open
    to_stage(Stage.OFF, Endpoint.SYNC)
    to_stage(Stage.DUAL_WRITE, Endpoint.SYNC)
    assert not gate("backfill").is_open


@pytest.mark.parametrize("state", ["running", "paused", "failed"])
def test_backfill_must_be_finished(state: str) -> None:
    to_stage(Stage.DUAL_WRITE)
    backfilled(state=state)

    assert not gate("backfill").is_open


def test_a_catch_up_counts_as_a_backfill_if_those_before_it_leave_no_gap() -> None:
    first = get_clock().now() - timedelta(hours=1)
    to_stage(Stage.DUAL_WRITE)
    backfilled(since=first - timedelta(minutes=15))

    assert not gate("backfill").is_open
    backfilled(created_at=first)
    assert gate("backfill").is_open


def test_marks_must_not_be_old_and_dead_letters_always_count() -> None:
    to_stage(Stage.DUAL_WRITE)
    waiting = mark(age_seconds=59)

    assert gate("marks").is_open
    WriteMark.objects.update(marked_at=waiting.marked_at - timedelta(seconds=2))
    assert not gate("marks").is_open
    WriteMark.objects.update(marked_at=waiting.marked_at, is_dead=True)
    assert "given up" in gate("marks").reason
    assert not gate("marks").is_open
    waiting.delete()
    assert gate("marks").is_open


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        ({}, True),
        ({"age_seconds": 6}, False),
        ({"attempts": 1}, False),
        ({"side": Side.LEGACY}, False),
        ({"is_dead": True}, False),
    ],
)
def test_complete_wants_the_marks_drained_but_for_writes_under_way(
    given: dict[str, Any], is_open: bool
) -> None:
    to_stage(Stage.RAMP_DOWN)
    mark(**given)

    assert gate("marks").is_open is is_open


def test_comparisons() -> None:
    to_stage(Stage.SHADOW)
    compared(Stage.SHADOW, 999)

    shut = gate("comparisons")

    assert (shut.is_open, shut.figure, shut.needs) == (False, "999", "1,000")
    compared(Stage.LIVE, 1)
    assert not gate("comparisons").is_open
    ParityMinute.objects.filter(stage=Stage.SHADOW).update(compared=1000)
    assert gate("comparisons").is_open


def test_parity_goes_by_the_lower_bound() -> None:
    to_stage(Stage.SHADOW)
    assert "Nothing was compared" in gate("parity").reason
    compared(Stage.SHADOW, 2_702)
    few = gate("parity")
    ParityMinute.objects.update(compared=2_703, agreed=2_703)
    enough = gate("parity")
    ParityMinute.objects.update(agreed=2_702, confirmed=1, fields={"email": 1})
    different = gate("parity")

    assert not few.is_open
    assert "2,703 are needed" in few.reason
    assert enough.is_open
    assert not different.is_open
    assert "1 differ (email)" in different.reason


def test_parity_is_that_of_the_present_stage_since_it_was_reached() -> None:
    to_stage(Stage.SHADOW)
    compared(Stage.SHADOW, 9_000, confirmed=5_000)
    to_stage(Stage.DUAL_WRITE, DETAIL)
    to_stage(Stage.SHADOW, DETAIL)
    compared(Stage.SHADOW)

    assert gate("parity").is_open
    to_stage(Stage.LIVE)
    assert not gate("parity").is_open


def test_letting_more_sessions_in_or_a_pause_keeps_what_was_compared() -> None:
    to_stage(Stage.SHADOW)
    to_stage(Stage.LIVE, DETAIL, percent=10)
    compared(Stage.LIVE)
    StageChange.objects.update(at=get_clock().now() - timedelta(minutes=2))
    ParityMinute.objects.update(minute=get_clock().now() - timedelta(minutes=1))

    to_stage(Stage.LIVE, DETAIL, percent=50)
    operating.pause(get_tiers(), DETAIL, **WHO)

    assert gate("comparisons").is_open


def test_ramp_down_goes_by_what_was_compared_at_live() -> None:
    to_stage(Stage.LIVE)
    compared(Stage.LIVE)
    to_stage(Stage.RAMP_DOWN, percent=10)

    assert gate("parity", percent=50).is_open
    assert gate("comparisons", percent=50).is_open


def test_parity_goes_stale_after_a_day() -> None:
    to_stage(Stage.SHADOW)
    long_ago = get_clock().now() - timedelta(days=3)
    StageChange.objects.update(at=long_ago)
    EndpointStage.objects.update(entered_at=long_ago)
    compared(Stage.SHADOW, age=timedelta(hours=25))

    assert not gate("parity").is_open
    assert not gate("comparisons").is_open


def test_unseen_says_when_the_last_copy_is_dead() -> None:
    to_stage(Stage.RAMP_DOWN)
    to_stage(Stage.DUAL_WRITE, Endpoint.SYNC)
    assert gate("unseen", stage=Stage.COMPLETE).figure == "not begun"
    to_stage(Stage.RAMP_DOWN, Endpoint.SYNC)

    StageChange.objects.update(at=get_clock().now() - timedelta(hours=23))
    shut = gate("unseen")
    StageChange.objects.update(at=get_clock().now() - timedelta(hours=24, seconds=1))
    opened = gate("unseen")

    assert not shut.is_open
    assert "local_storage" in shut.reason
    assert shut.needs in shut.reason
    assert opened.is_open


def test_unseen_waits_for_nothing_where_every_store_can_be_listed(
    settings: SettingsWrapper,
) -> None:
    settings.LEGACY_ADAPTERS = {"database": settings.LEGACY_ADAPTERS["database"]}
    to_stage(Stage.RAMP_DOWN)

    assert gate("unseen").is_open


def test_conflicts_are_told_and_keep_nobody_back() -> None:
    to_stage(Stage.DUAL_WRITE)
    SessionConflict.objects.create(
        source="database", session_id="ws_1_a", digest="0", seen_at=get_clock().now()
    )

    found = gate("conflicts")

    assert found.is_open
    assert "1 sessions wait" in found.reason

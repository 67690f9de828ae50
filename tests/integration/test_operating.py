"""What operators do, one after the other and at once; and that the way back loses no write."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections

from legacy_adapters.migration import catching_up
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages import moving, store
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.steering import going_back, operating
from legacy_adapters.models import EndpointStage, ProcessReport, StageChange, WriteMark
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.migrating import legacy_row, marked, migrating_shop, to_stage
from tests.operators import DETAIL, WHO, backfilled, compared, gate, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]
really_committed = pytest.mark.django_db(transaction=True)

OTHERS = [each for each in Endpoint if each is not DETAIL]


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        settings.MIGRATION = settings.MIGRATION | {"PROCESS_TIMEOUT_SECONDS": 0.4}
        yield


def place(endpoint: Endpoint = DETAIL) -> tuple[Stage, float]:
    found = store.read(get_tiers().database).place(endpoint)
    return found.stage, float(found.percent)


def created(**fields: Any) -> SessionSnapshot:
    return get_manager("session.create").create_session(email="ana@example.org", **fields)


def advance(**to: Any) -> StageChange:
    return operating.advance(get_tiers(), DETAIL, **(WHO | to))


def rollback(endpoint: Endpoint = DETAIL, **to: Any) -> StageChange:
    return operating.rollback(get_tiers(), endpoint, **(WHO | to))


def repair_all() -> None:
    for session_id in WriteMark.objects.values_list("session_id", flat=True):
        repair(get_tiers(), session_id)


# Forward


def test_one_advances_stage_by_stage_and_all_is_written_down() -> None:
    to_stage(Stage.DUAL_WRITE, *OTHERS)

    change = advance()

    assert place() == (Stage.DUAL_WRITE, 100)
    assert (change.actor, change.reason, change.is_automatic) == ("ana", "a test", False)
    assert {each["name"] for each in change.gates} == {"database", "fleet", "paused", "order"}
    with pytest.raises(operating.GatesShutError, match="backfill"):
        advance()
    backfilled()
    advance()
    compared(Stage.SHADOW)
    advance(percent=12.5)
    assert place() == (Stage.LIVE, 12.5)


def test_a_percentage_alone_is_of_the_present_stage_until_that_has_all() -> None:
    to_stage(Stage.DUAL_WRITE)
    backfilled()

    places = []
    for percent in (10, 25, 100):
        advance(percent=percent)
        places.append(place())

    assert places == [(Stage.SHADOW, 10), (Stage.SHADOW, 25), (Stage.SHADOW, 100)]


@pytest.mark.parametrize(
    "to", [{"percent": 25}, {"percent": 24.99}, {"stage": Stage.DUAL_WRITE}, {"stage": Stage.OFF}]
)
def test_one_advances_only_forward(to: dict[str, Any]) -> None:
    to_stage(Stage.SHADOW, percent=25)

    with pytest.raises(operating.MoveRefusedError):
        advance(**to)

    assert place() == (Stage.SHADOW, 25)


@pytest.mark.parametrize("percent", [0, -1, 100.01, 0.001])
def test_a_percentage_must_be_one(percent: float) -> None:
    with pytest.raises(operating.MoveRefusedError):
        advance(percent=percent)


@pytest.mark.parametrize("who", [{"reason": " "}, {"actor": ""}, {"reason": "x" * 451}])
def test_a_move_is_kept_with_who_and_why(who: dict[str, str]) -> None:
    to_stage(Stage.DUAL_WRITE, *OTHERS)

    for act in (operating.advance, operating.rollback, operating.pause, operating.resume):
        with pytest.raises(operating.MoveRefusedError):
            act(get_tiers(), DETAIL, **(WHO | who))


@really_committed
def test_of_two_operators_at_once_one_is_told_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both_have_asked = threading.Barrier(2, timeout=60)
    answers: list[Any] = []

    def wait_for_writes(alias: str) -> None:
        both_have_asked.wait()
        moving.wait_for_writes(alias)

    def one() -> None:
        try:
            answers.append(advance().pk)
        except operating.OvertakenError as exc:
            answers.append(type(exc))
        finally:
            connections.close_all()

    monkeypatch.setattr(operating, "wait_for_writes", wait_for_writes)
    operators = [threading.Thread(target=one) for _ in range(2)]
    for each in operators:
        each.start()
    for each in operators:
        each.join(60)

    assert operating.OvertakenError in answers
    assert [each for each in answers if isinstance(each, int)] == [StageChange.objects.get().pk]
    assert place() == (Stage.DUAL_WRITE, 100)


def test_gates_that_were_asked_before_another_endpoint_moved_count_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage(Stage.DUAL_WRITE)
    backfilled()

    def wait_for_writes(alias: str) -> None:
        to_stage(Stage.OFF, Endpoint.SYNC)
        moving.wait_for_writes(alias)

    monkeypatch.setattr(operating, "wait_for_writes", wait_for_writes)
    with pytest.raises(operating.OvertakenError):
        advance()


def test_a_pause_outlasts_a_move_back_and_is_in_the_history() -> None:
    to_stage(Stage.SHADOW)
    operating.pause(get_tiers(), DETAIL, actor="eva", reason="wait")

    rollback()

    row = EndpointStage.objects.get(pk=DETAIL)
    assert (row.stage, row.pause_reason) == (Stage.DUAL_WRITE, "wait")
    assert row.paused_at is not None
    assert StageChange.objects.filter(actor="eva", reason="Paused: wait").exists()


@really_committed
def test_nothing_moves_while_the_database_does_not_answer() -> None:
    breaker = get_tiers().database.breaker
    while not breaker.is_open:
        breaker.failed()

    with pytest.raises(operating.GatesShutError) as refused:
        operating.advance(get_tiers(), DETAIL, **WHO)
    with pytest.raises(DatabaseUnavailableError):
        operating.rollback(get_tiers(), DETAIL, **WHO)
    breaker.succeeded()
    assert StageChange.objects.count() == 0

    assert [each.name for each in refused.value.gates] == ["database"]
    assert gate("database").is_open


# Back


def test_one_step_back_and_any_step_back() -> None:
    to_stage(Stage.LIVE, percent=40)

    rollback(percent=10)
    assert place() == (Stage.LIVE, 10)
    rollback()
    assert place() == (Stage.SHADOW, 100)
    rollback(stage=Stage.OFF)
    assert place() == (Stage.OFF, 100)
    with pytest.raises(operating.MoveRefusedError):
        rollback()


def test_no_gate_keeps_one_from_going_back() -> None:
    to_stage(Stage.LIVE)
    report(epoch=0)
    operating.pause(get_tiers(), DETAIL, **WHO)

    rollback()

    assert place() == (Stage.SHADOW, 100)


def test_what_may_not_be_further_comes_back_with_it() -> None:
    to_stage(Stage.LIVE, *OTHERS)
    to_stage(Stage.SHADOW, DETAIL)

    change = rollback(stage=Stage.OFF)

    assert change.endpoint == DETAIL
    assert {place(each) for each in OTHERS} == {(Stage.DUAL_WRITE, 100)}
    reasons = StageChange.objects.filter(endpoint=OTHERS[0]).values_list("reason", flat=True)
    assert "With session.detail: a test" in reasons


def test_complete_goes_back_to_ramp_down_with_the_first_that_goes_further() -> None:
    to_stage(Stage.COMPLETE)

    rollback(stage=Stage.LIVE)

    assert place() == (Stage.LIVE, 100)
    assert {place(each) for each in OTHERS} == {(Stage.RAMP_DOWN, 100)}


def test_a_demoted_endpoint_waits_for_a_person() -> None:
    to_stage(Stage.LIVE)

    change = operating.demote(get_tiers(), DETAIL, reason="5 differences")

    assert change is not None
    assert (change.to_stage, change.is_automatic) == (Stage.SHADOW, True)
    assert operating.demote(get_tiers(), DETAIL, reason="again") is None
    assert EndpointStage.objects.get(pk=DETAIL).demoted_at is not None
    rollback()
    assert EndpointStage.objects.get(pk=DETAIL).demoted_at is not None
    backfilled()
    advance()
    assert EndpointStage.objects.get(pk=DETAIL).demoted_at is None


def test_demotion_leaves_alone_what_somebody_moved_meanwhile() -> None:
    to_stage(Stage.RAMP_DOWN)

    with pytest.raises(operating.OvertakenError):
        operating.demote(get_tiers(), DETAIL, reason="late", if_at=Place(stage=Stage.LIVE))

    assert place() == (Stage.RAMP_DOWN, 100)


# Back from where legacy was not written


@really_committed
@pytest.mark.parametrize("target", [Stage.RAMP_DOWN, Stage.OFF])
def test_r44_what_was_written_at_complete_is_brought_back_to_legacy(target: Stage) -> None:
    to_stage(Stage.RAMP_DOWN)
    kept, gone = created(), created()
    to_stage(Stage.COMPLETE)
    get_manager("session.detail").update_session(kept.id, {"email": "new@example.org"})
    get_manager("session.detail").delete_session(gone.id)
    born = created()

    rollback(stage=target)
    assert {marked(each.id) for each in (kept, gone, born)} == {"unified"}
    repair_all()

    found = legacy_row(kept.id)
    assert found is not None
    assert found["email"] == "new@example.org"
    assert legacy_row(gone.id) is None
    assert legacy_row(born.id) is not None


def test_what_was_not_written_at_complete_is_not_marked() -> None:
    to_stage(Stage.RAMP_DOWN)
    old = created()
    UnifiedSession.objects.update(updated_at=get_clock().now() - timedelta(minutes=2))
    WriteMark.objects.all().delete()  # of before
    to_stage(Stage.COMPLETE)

    rollback()

    assert marked(old.id) is None


def test_what_was_written_long_ago_at_complete_is_marked_too() -> None:
    to_stage(Stage.COMPLETE)
    old = created()
    now = get_clock().now()
    EndpointStage.objects.update(unmarked_since=now - timedelta(hours=2))
    UnifiedSession.objects.update(updated_at=now - timedelta(hours=1))

    rollback()

    assert marked(old.id) == "unified"


def test_one_does_not_go_back_from_where_somebody_else_has_moved_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage(Stage.LIVE)

    def wait_for_writes(alias: str) -> None:
        to_stage(Stage.RAMP_DOWN, DETAIL)
        moving.wait_for_writes(alias)

    monkeypatch.setattr(going_back, "wait_for_writes", wait_for_writes)
    with pytest.raises(operating.OvertakenError):
        rollback()


@really_committed
def test_what_comes_while_most_is_marked_is_marked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    to_stage(Stage.COMPLETE)
    born: list[str] = []

    def wait_for_writes(alias: str) -> None:
        if not born:
            born.append(created().id)
        moving.wait_for_writes(alias)

    monkeypatch.setattr(going_back, "wait_for_writes", wait_for_writes)
    rollback()

    assert marked(born[0]) == "unified"


@really_committed
def test_what_a_process_writes_that_has_not_heard_yet_is_caught_up() -> None:
    to_stage(Stage.COMPLETE)
    late = report()
    rollback(stage=Stage.RAMP_DOWN)
    catching_up.catching_up(get_tiers())
    written = UnifiedSessionManager().create_session(email="late@example.org")

    assert catching_up.catching_up(get_tiers()) > 0
    assert marked(written.id) == "unified"
    repair(get_tiers(), written.id)
    assert legacy_row(written.id) is not None

    assert catching_up.unmarked_since() is not None
    late.delete()
    catching_up.catching_up(get_tiers())
    assert {each.unmarked_since for each in EndpointStage.objects.filter(stage="ramp_down")} == {
        None
    }


@really_committed
def test_catching_up_is_one_small_look_when_nothing_is_owed(
    django_assert_num_queries: Any,
) -> None:
    to_stage(Stage.COMPLETE)
    created()

    with django_assert_num_queries(3):  # BEGIN and COMMIT too
        assert catching_up.catching_up(get_tiers()) == 0


@really_committed
def test_legacy_comes_first_only_once_nobody_writes_without_it() -> None:
    to_stage(Stage.COMPLETE)
    stop = threading.Event()
    late = report()

    def live_on() -> None:
        while not stop.wait(0.05):
            ProcessReport.objects.filter(pk=late.pk).update(reported_at=get_clock().now())
        connection.close()

    process = threading.Thread(target=live_on)
    process.start()
    try:
        with pytest.raises(operating.UnsettledError, match="web, here:4711"):
            rollback(stage=Stage.SHADOW)
    finally:
        stop.set()
        process.join()

    assert place() == (Stage.RAMP_DOWN, 100)
    late.delete()
    rollback(stage=Stage.SHADOW)
    assert place() == (Stage.SHADOW, 100)


def test_once_legacy_comes_first_nothing_is_owed_to_it_any_more() -> None:
    to_stage(Stage.COMPLETE)

    rollback(stage=Stage.SHADOW)

    assert catching_up.unmarked_since() is None


def test_requests_that_had_begun_before_are_given_their_time() -> None:
    to_stage(Stage.COMPLETE)
    rollback(stage=Stage.RAMP_DOWN)
    report()

    assert not catching_up.is_settled(get_tiers())
    EndpointStage.objects.update(changed_at=get_clock().now() - timedelta(seconds=0.5))
    assert catching_up.is_settled(get_tiers())


# Looking


def test_statuses_say_where_everything_is() -> None:
    to_stage(Stage.SHADOW)
    compared(Stage.SHADOW, 10)
    created()

    found = {each.endpoint: each for each in operating.statuses(get_tiers())}
    told = found[DETAIL].to_json()

    assert set(found) == set(Endpoint)
    assert (told["endpoint"], told["stage"], told["percent"]) == ("session.detail", "shadow", 100)
    assert told["parity"]["compared"] == 10
    assert told["repair_backlog"] == 0
    assert {"name", "open", "reason"} <= set(told["gates"][0])
    assert told["next"] == {"stage": "live", "percent": 100.0}
    assert {each["source"] for each in told["unseen"]} == {
        "cookie",
        "memory_cache",
        "local_storage",
    }


def test_nothing_comes_after_complete() -> None:
    to_stage(Stage.COMPLETE)

    status = operating.statuses(get_tiers())[0]

    assert (status.next, status.gates, status.parity) == (None, (), None)
    with pytest.raises(operating.MoveRefusedError):
        advance()

"""The migrating manager at every stage: where sessions live, and what the money path does there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import RequestFactory

from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration.stages.cache import STAGES as STAGES_VIEW
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.migration.stages.slicing import BUCKETS, bucket_of
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import (
    InvalidChangeError,
    SessionExpiredError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.charges import answer, charges, paid, pay, session_of, start, states
from tests.legacy import paid_row, put, row
from tests.migrating import legacy_row, marked, migrating_shop, table, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "legacy"]),
    pytest.mark.usefixtures("gateway"),
]

STAGES = [*Stage]
LEGACY_STAGES = [Stage.OFF, Stage.DUAL_WRITE, Stage.SHADOW]
BOTH_STAGES = [Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN]
WAYS_TO_WRITE = [Stage.OFF, Stage.DUAL_WRITE, Stage.LIVE, Stage.COMPLETE]


@pytest.fixture(autouse=True)
def shop(
    request: pytest.FixtureRequest, elsewhere: str, db: None, settings: SettingsWrapper
) -> Iterator[None]:
    """Put the old shop's table in another database; `ANYWHERE`: in our own as well."""
    with migrating_shop(settings, alias=getattr(request, "param", "legacy")):
        yield


ANYWHERE = pytest.mark.parametrize(
    ("shop", "stage"),
    [
        *(("legacy", each) for each in STAGES),
        *(("default", each) for each in WAYS_TO_WRITE if each is not Stage.COMPLETE),
    ],
    indirect=["shop"],
)


def unified_row(session_id: str) -> UnifiedSession | None:
    return UnifiedSession.objects.filter(pk=session_id).first()


def change_there(session_id: str, *, email: str) -> None:
    """Change the row as the old code does."""
    there = table().table
    with there.connection.cursor() as cursor:
        cursor.execute(
            there.statement("UPDATE {} SET {email} = %s, {updated_at} = now() WHERE {id} = %s"),
            [email, session_id],
        )


def agree(session_id: str) -> bool:
    """Tell whether both sides say the same, by the rules that parity has."""
    record, here = table().peek(session_id), UnifiedSessionManager()._reader.load(session_id)
    assert record is not None
    there = table().to_unified(record)
    now = get_clock().now()
    return not differing(there, here.session, fields=table().fields, now=now)


@ANYWHERE
def test_an_order_goes_through_at_every_stage(stage: Stage) -> None:
    to_stage(stage)

    session_id = paid()
    assert answer(session_id, "upsell-1-serum").status == 200
    assert answer(session_id, "upsell-2-lamp").status == 200

    session = session_of(session_id)
    assert (session.status, session.current_step) == ("completed", "success")
    assert session.upsells.accepted == ("upsell-1-serum", "upsell-2-lamp")
    assert set(states(session_id)) == {"succeeded"}
    assert len(charges(session_id)) == 3
    assert marked(session_id) is None
    if stage in BOTH_STAGES:
        assert agree(session_id)


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_r44_the_legacy_table_is_the_truth_before_live(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()

    session = get_manager("session.detail").get_session(session_id)
    change_there(session_id, email="moved@example.org")

    assert session.version > 10**15
    assert get_manager("session.detail").get_session(session_id).email == "moved@example.org"


def test_at_off_a_plain_session_leaves_no_trace_on_the_unified_side() -> None:
    session = get_manager("session.create").create_session(email="ana@example.org")
    get_manager("session.detail").update_session(session.id, {"email": "eva@example.org"})

    found = legacy_row(session.id)

    assert found is not None
    assert found["email"] == "eva@example.org"
    assert unified_row(session.id) is None


@pytest.mark.parametrize("stage", STAGES)
def test_what_legacy_cannot_hold_is_joined_at_every_stage(stage: Stage) -> None:
    to_stage(stage)
    created = get_manager("session.create").create_session(
        email="ana@example.org", metadata={"campaign": "spring"}, currency="EUR"
    )
    changed = {"metadata": {"campaign": "autumn"}}
    get_manager("session.detail").update_session(created.id, changed)

    session = get_manager("session.detail").get_session(created.id)

    assert session.metadata == {"campaign": "autumn"}
    assert session.currency == "EUR"


def test_live_to_off_to_live_loses_no_field() -> None:
    to_stage("live")
    session_id = paid()
    answer(session_id, "upsell-1-serum")
    metadata = {"metadata": {"campaign": "spring"}}
    get_manager("session.detail").update_session(session_id, metadata)
    before = session_of(session_id)

    to_stage("off")
    at_off = session_of(session_id)
    to_stage("dual_write")
    to_stage("live")
    after = session_of(session_id)

    for name in ("metadata", "upsells", "status", "current_step", "products", "customer", "email"):
        assert getattr(at_off, name) == getattr(before, name), name
        assert getattr(after, name) == getattr(before, name), name


@pytest.mark.parametrize("stage", WAYS_TO_WRITE)
def test_a_stale_version_is_refused(stage: Stage) -> None:
    to_stage(stage)
    manager = get_manager("session.detail")
    first = manager.create_session(email="ana@example.org")
    manager.update_session(first.id, {"email": "eva@example.org"}, if_version=first.version)

    with pytest.raises(VersionConflictError):
        manager.update_session(first.id, {"email": "new@example.org"}, if_version=first.version)


@ANYWHERE
def test_a_deleted_session_stays_dead_on_both_sides(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()

    get_manager("session.detail").delete_session(session_id)

    if stage is not Stage.COMPLETE:
        assert legacy_row(session_id) is None
    with pytest.raises(SessionNotFoundError):
        get_manager("session.detail").get_session(session_id)
    if stage is not Stage.COMPLETE:
        put(table().table, row(id=session_id))
        with pytest.raises(SessionNotFoundError):
            get_manager("session.detail").get_session(session_id)


@pytest.mark.parametrize("stage", [*LEGACY_STAGES, Stage.LIVE, Stage.RAMP_DOWN])
def test_an_old_shopper_who_has_paid_is_offered_the_extras_and_not_charged_again(
    stage: Stage,
) -> None:
    put(table().table, paid_row(id="ws_mwo5wwds_old"))
    to_stage(stage)

    assert pay("ws_mwo5wwds_old").status == 200
    assert charges("ws_mwo5wwds_old") == []
    reply = answer("ws_mwo5wwds_old", "upsell-1-serum")

    assert reply.status == 200
    assert session_of("ws_mwo5wwds_old").current_step == "upsell-2"
    found = legacy_row("ws_mwo5wwds_old")
    assert found is not None
    assert found["current_step"] == "upsell-2"
    assert found["upsells_accepted"] == ["upsell-1-serum"]


def left_unrepaired(monkeypatch: pytest.MonkeyPatch) -> str:
    """Change a session at `live` while no repair works, and return its id."""
    to_stage("live")
    session_id = start()

    def fails(*_: object) -> bool:
        raise OSError

    monkeypatch.setattr("legacy_adapters.migration.sides.reads.repair", fails)
    get_manager("session.detail").update_session(session_id, {"email": "eva@example.org"})
    return session_id


def test_a_failed_second_side_leaves_a_mark_that_the_next_read_heals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = left_unrepaired(monkeypatch)
    assert marked(session_id) == Side.UNIFIED
    monkeypatch.undo()
    to_stage("shadow")

    assert get_manager("session.detail").get_session(session_id).email == "eva@example.org"
    assert marked(session_id) is None


def test_what_cannot_be_healed_is_answered_by_the_side_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = left_unrepaired(monkeypatch)
    to_stage("shadow")

    assert get_manager("session.detail").get_session(session_id).email == "eva@example.org"
    assert marked(session_id) == Side.UNIFIED


def test_a_slice_moves_and_the_others_stay() -> None:
    to_stage("live", percent=50)
    created = [get_manager("session.create").create_session().id for _ in range(12)]

    sides = {each: STAGES_VIEW.view(get_tiers()).first_side(each) for each in created}

    assert set(sides.values()) == {Side.LEGACY, Side.UNIFIED}
    for session_id, side in sides.items():
        version = get_manager("session.detail").get_session(session_id).version
        assert (version > 10**15) is (side is Side.LEGACY)
        assert is_first(bucket_of(session_id), side)


def is_first(bucket: int, side: Side) -> bool:
    return (bucket < BUCKETS // 2) is (side is Side.UNIFIED)


def test_a_request_keeps_the_side_that_it_has_seen() -> None:
    to_stage("live")
    request = RequestFactory().get("/")
    session_id = start()
    seen = get_manager("session.detail", request).get_session(session_id).version

    to_stage("shadow")

    assert get_manager("session.detail", request).get_session(session_id).version == seen
    assert get_manager("session.detail").get_session(session_id).version > 10**15


def test_a_write_of_a_stale_stage_starts_over_on_the_right_side() -> None:
    to_stage("live")
    request = RequestFactory().get("/")
    session_id = start()
    manager = get_manager("session.detail", request)
    manager.get_session(session_id)
    to_stage("shadow")
    change_there(session_id, email="old.code@example.org")

    after = manager.update_session(session_id, {"customer": {"firstName": "Ana"}})

    assert after.email == "old.code@example.org"
    assert after.version > 10**15
    assert agree(session_id)


@pytest.mark.parametrize("stage", WAYS_TO_WRITE)
def test_a_session_may_begin_without_an_address(stage: Stage) -> None:
    to_stage(stage)
    with table().table.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions ALTER email SET NOT NULL")

    session = get_manager("session.create").create_session()
    assert get_manager("session.detail").get_session(session.id).email is None
    get_manager("session.detail").update_session(session.id, {"email": "ana@example.org"})

    assert get_manager("session.detail").get_session(session.id).email == "ana@example.org"
    if stage in BOTH_STAGES:
        assert agree(session.id)


def test_a_session_past_its_end_is_left_as_the_old_code_left_it() -> None:
    session_id = start()
    there = table().table
    with there.connection.cursor() as cursor:
        cursor.execute(there.statement("UPDATE {} SET {expires_at} = now() - interval '1 s'"))

    with pytest.raises(SessionExpiredError):
        get_manager("session.detail").get_session(session_id)

    found = legacy_row(session_id)
    assert found is not None
    assert found["status"] == "expired"


def test_what_the_old_table_refuses_is_a_bad_change_and_not_a_failure() -> None:
    to_stage("dual_write")
    session_id = start()
    with table().table.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions ALTER email TYPE varchar(20)")

    with pytest.raises(InvalidChangeError, match="old shop"):
        get_manager("session.detail").update_session(
            session_id, {"email": "somebody.with.a.long.name@example.org"}
        )

    assert session_of(session_id).email == "ana@example.org"
    assert agree(session_id)


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE])
def test_an_old_copy_that_is_written_back_takes_no_payment_away(stage: Stage) -> None:
    to_stage(stage)
    session_id = paid()
    there = table().table
    with there.connection.cursor() as cursor:
        cursor.execute(
            there.statement(
                "UPDATE {} SET {transaction_id} = NULL, {vault_id} = NULL, {status} = 'pending', "
                "{current_step} = 'checkout' WHERE {id} = %s"
            ),
            [session_id],
        )

    assert pay(session_id).status == 200
    assert answer(session_id, "upsell-1-serum").status == 200

    session = session_of(session_id)
    assert session.is_paid
    assert (session.current_step, session.upsells.accepted) == ("upsell-2", ("upsell-1-serum",))
    assert len(charges(session_id)) == 2

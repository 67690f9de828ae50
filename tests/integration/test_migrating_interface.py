"""The manager's whole interface while a shop is moved: what a site calls works at every stage."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from legacy_adapters.migration import marks
from legacy_adapters.migration.parity.histograms import added
from legacy_adapters.migration.stages.cache import STAGES as STAGES_SEEN
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.models import ParityMinute
from sessions_unified import get_manager
from sessions_unified.exceptions import (
    SessionExpiredError,
    SessionNotFoundError,
)
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.legacy import put, row
from tests.migrating import marked, table, to_stage
from tests.parity import wait_for_counts

if TYPE_CHECKING:
    from datetime import datetime

    from sessions_unified.manager import UnifiedSessionManager

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "legacy"]),
    pytest.mark.usefixtures("shop_elsewhere"),
]

STAGES = [Stage.OFF, Stage.DUAL_WRITE, Stage.LIVE, Stage.RAMP_DOWN]
LONGER = timedelta(hours=30)


def detail() -> UnifiedSessionManager:
    return get_manager("session.detail")


def end_there(session_id: str) -> datetime:
    record = table().peek(session_id)
    assert record is not None
    return table().to_unified(record).expires_at


@pytest.mark.parametrize("stage", STAGES)
def test_every_method_does_its_work_at_every_stage(stage: Stage) -> None:
    to_stage(stage)
    manager = detail()
    one = manager.create_session(email="ana@example.org")
    other = manager.create_session(email="eva@example.org")

    extended = manager.extend_session(one.id, LONGER, past_limit=True)
    manager.touch_session(one.id)

    assert extended.expires_at > one.expires_at
    assert end_there(one.id) == extended.expires_at
    assert detail().get_session(one.id).expires_at >= extended.expires_at
    assert manager.drop_copies(one.id)
    assert list(manager.get_sessions([other.id, "ws_1_none", one.id, other.id])) == [
        other.id,
        one.id,
    ]
    health = manager.validate_session(one.id)
    assert (health.exists, health.is_expired, health.tiers_agree) == (True, False, True)

    expired = manager.expire_session(one.id)

    assert (expired.status, marked(one.id)) == ("expired", None)
    assert list(detail().get_sessions([one.id, other.id])) == [other.id]
    with pytest.raises(SessionExpiredError):
        detail().get_session(one.id)


@pytest.mark.parametrize("stage", STAGES)
def test_async_callers_have_the_same(stage: Stage) -> None:
    to_stage(stage)

    async_to_sync(_walk_async)(detail())


async def _walk_async(manager: UnifiedSessionManager) -> None:
    created = await manager.acreate_session(email="ana@example.org")
    read = await manager.aget_session(created.id)
    changes = {"email": "bo@example.org"}
    updated = await manager.aupdate_session(created.id, changes, if_version=read.version)
    extended = await manager.aextend_session(created.id, LONGER)
    await manager.atouch_session(created.id)

    assert updated.email == extended.email == "bo@example.org"
    found = await manager.aget_sessions([created.id])
    assert found[created.id].expires_at >= extended.expires_at >= created.expires_at
    assert (await manager.avalidate_session(created.id)).tiers_agree
    await manager.adelete_session(created.id)
    with pytest.raises(SessionNotFoundError):
        await manager.aget_session(created.id)


def test_many_of_ours_are_one_round_trip_and_old_ones_are_brought_in() -> None:
    to_stage("ramp_down")
    ours = [detail().create_session(email=f"{each}@example.org").id for each in range(5)]
    for each in ours:
        detail().drop_copies(each)
    detail().get_sessions([])  # the stages are known by now

    with CaptureQueriesContext(connection) as asked:
        found = detail().get_sessions(ours)

    assert list(found) == ours
    reading = [
        each["sql"] for each in asked if "FROM sessions_unified_unifiedsession" in each["sql"]
    ]
    assert len(reading) == 1

    put(table().table, old := row())
    assert list(detail().get_sessions([ours[0], old["id"], ours[1]])) == [
        ours[0],
        old["id"],
        ours[1],
    ]
    assert UnifiedSession.objects.filter(pk=old["id"]).exists()


def test_many_of_the_old_shop_are_answered_by_it() -> None:
    to_stage("shadow")
    created = detail().create_session(email="ana@example.org")
    put(table().table, row(id=created.id, email="newer@example.org"))

    found = detail().get_sessions([created.id])

    assert found[created.id].email == "newer@example.org"


def test_many_are_healed_first_where_a_mark_was_left() -> None:
    to_stage("live")
    ours = [detail().create_session(email=f"{each}@example.org").id for each in range(2)]
    newer = row(id=ours[1], email="newer@example.org", updated_at="2999-11-19T23:30:24+00:00")
    put(table().table, newer)
    marks.put(get_tiers().database, ours[1], Side.LEGACY, get_tiers().clock.now())
    STAGES_SEEN.refresh(get_tiers())

    found = detail().get_sessions(ours)

    assert found[ours[1]].email == "newer@example.org"
    assert marked(ours[1]) is None


def test_many_at_once_are_counted_as_so_many_reads() -> None:
    to_stage("live")
    ours = [detail().create_session(email=f"{each}@example.org").id for each in range(3)]

    detail().get_sessions(ours)
    wait_for_counts(reads=3)

    minutes = ParityMinute.objects.filter(endpoint="session.detail")
    assert sum(each.reads for each in minutes) == 3
    assert sum(added(*(each.served_ms for each in minutes)).values()) == 3


def test_what_is_in_neither_store_has_no_copies_to_drop() -> None:
    to_stage("live")

    with pytest.raises(SessionNotFoundError):
        detail().drop_copies("ws_1_none")

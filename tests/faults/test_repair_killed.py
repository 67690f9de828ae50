"""A worker is SIGKILLed in the middle of a repair: nothing is lost, and another one drains."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from legacy_adapters.migration import marks
from legacy_adapters.migration.repair import working
from legacy_adapters.migration.stages.names import Side
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import build_tiers, get_tiers
from tests.managing import elsewhere, wait_for, wait_until_left
from tests.migrating import MANAGER, legacy_row, migrating_shop, to_stage
from tests.repairs import all_marks, change_here, change_there, created, differences, here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

REPAIR = "import django; django.setup(); from legacy_adapters import tasks; tasks.repair_marked()"
SESSIONS = 6
# What a repair comes to last: all that it wrote before is lost with the worker.
LAST_ROW = "SELECT 1 FROM legacy_adapters_importrecord WHERE session_id = %s FOR UPDATE"


@pytest.fixture(autouse=True)
def shop(transactional_db: None, redis_flush: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        to_stage("live")
        yield


def behind() -> list[str]:
    """Return sessions that either side is behind in, in the order in which they are repaired."""
    ids = [created() for _ in range(SESSIONS)]
    for number, session_id in enumerate(ids):
        change, side = ((change_here, Side.UNIFIED), (change_there, Side.LEGACY))[number % 2]
        change(session_id, email="eva@example.org")
        marks.put_many(get_tiers().database, [session_id], side, get_clock().now())
    return ids


def is_waiting() -> bool:
    """Tell whether the worker waits for the row that is kept from it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS(SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("number", [3, pytest.param(2, marks=pytest.mark.soak)])
def test_killed_in_the_middle_another_drains(number: int, site_env: dict[str, str]) -> None:
    ids = behind()
    with elsewhere(LAST_ROW, [ids[number]]):
        env = {**site_env, "SESSION_MANAGER": MANAGER, "APPLICATION_NAME": "killed"}
        worker = subprocess.Popen([sys.executable, "-c", REPAIR], env=env)
        wait_for(is_waiting, seconds=60)
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)
        assert {each.session_id for each in all_marks()} == set(ids[number:])

    wait_until_left("killed")  # with its locks
    assert working.repair_due(get_tiers()) == 0  # the dead one's claims stand for a while
    later = FrozenClock(get_clock().now())
    later.advance(seconds=working.LEASE_SECONDS)
    assert working.repair_due(build_tiers(get_conf(), later)) == SESSIONS - number

    assert all_marks() == []
    assert [differences(each) for each in ids] == [()] * SESSIONS
    for session_id in ids:
        found = legacy_row(session_id)
        assert found is not None
        assert found["email"] == here(session_id).email == "eva@example.org"

"""What sweeps settle and purge reaches the old shop, where our side is written first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from legacy_adapters.migration.repair import working
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.models import WriteMark
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionExpiredError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.signals import sessions_swept
from sessions_unified.tiers import get_tiers
from tests.charges import paid
from tests.managing import cleaner
from tests.migrating import MANAGER, legacy_row, marked, migrating_shop, to_stage
from tests.repairs import all_marks, change_there, created, differences, here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gateway")]


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        to_stage("live")
        yield


def end(session_id: str, *, days: int = 0) -> None:
    """Have a session's end come, on both sides."""
    past = get_clock().now() - timedelta(days=days, seconds=1)
    UnifiedSession.objects.filter(pk=session_id).update(
        expires_at=past, updated_at=past, created_at=past - timedelta(days=1)
    )
    change_there(session_id, expires_at=past, created_at=past - timedelta(days=1))


def sweep() -> int:
    return cleaner(get_tiers()).settle().done


def repair() -> int:
    """Repair what is marked, due or not."""
    WriteMark.objects.update(due_at=get_clock().now())
    return working.repair_due(get_tiers())


def test_what_is_settled_is_settled_there() -> None:
    unpaid, bought = created(), paid()
    repair()
    for session_id in (unpaid, bought):
        end(session_id)

    assert sweep() == 2
    assert (marked(unpaid), marked(bought)) == ("unified", "unified")
    assert repair() == 2

    found = [legacy_row(each) for each in (unpaid, bought)]
    assert [each["status"] for each in found if each] == ["expired", "completed"]
    assert differences(unpaid) == differences(bought) == ()
    assert all_marks() == []


def test_what_a_read_settles_is_settled_there() -> None:
    session_id = created()
    repair()
    end(session_id)

    with pytest.raises(SessionExpiredError):
        UnifiedSessionManager().get_session(session_id, fresh=True)

    assert marked(session_id) == "unified"
    repair()
    assert differences(session_id) == ()


def test_what_is_purged_is_gone_there() -> None:
    session_id = created()
    repair()
    UnifiedSession.objects.update(status="expired")
    end(session_id, days=400)

    assert cleaner(get_tiers()).purge().done == 1
    assert marked(session_id) == "unified"
    assert repair() == 1

    assert here(session_id).deleted_at is not None
    assert legacy_row(session_id) is None


@pytest.mark.parametrize("stage", ["off", "shadow"])
def test_where_the_old_shop_has_the_say_there_is_nothing_to_tell(stage: str) -> None:
    session_id = created()
    repair()
    to_stage(stage)
    end(session_id)

    assert sweep() == 1

    assert all_marks() == []
    assert here(session_id).status == "expired"
    assert differences(session_id) == ()


def test_part_of_the_sessions_alone_is_told_of() -> None:
    ids = [created() for _ in range(30)]
    repair()
    to_stage("live", "session.detail", percent=50)
    for session_id in ids:
        end(session_id)

    sweep()

    view = STAGES.view(get_tiers())
    assert {each.session_id for each in all_marks()} == {
        each for each in ids if view.first_side(each) is Side.UNIFIED
    }
    assert 0 < len(all_marks()) < len(ids)


def test_at_complete_nothing_is_marked() -> None:
    session_id = created()
    repair()
    to_stage("ramp_down")
    to_stage("complete")
    end(session_id)

    assert sweep() == 1

    assert all_marks() == []


def test_without_a_migration_nobody_listens(settings: SettingsWrapper) -> None:
    assert sessions_swept.has_listeners(UnifiedSession)

    for manager in ("sessions_unified.manager.UnifiedSessionManager", "no.such.Manager"):
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": manager}
        assert not sessions_swept.has_listeners(UnifiedSession)

    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": MANAGER}
    assert sessions_swept.has_listeners(UnifiedSession)


def test_the_mark_is_one_with_the_change() -> None:
    session_id = created()
    repair()
    end(session_id)

    def refuse(**_: object) -> None:
        raise OSError

    sessions_swept.connect(refuse)
    try:
        with pytest.raises(OSError):  # noqa: PT011  (our own)
            sweep()
    finally:
        sessions_swept.disconnect(refuse)

    assert all_marks() == []
    assert here(session_id).status == "pending"

"""What was met of stores that the server cannot list, what was not, and until when it matters."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client

from legacy_adapters.fields.writing import iso
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.unseen import NOTED, Unseen, forget_old, note_seen, unseen
from legacy_adapters.models import StageChange, StoreSighting
from sessions_unified import get_manager, tokens
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.browsers import entry
from tests.legacy_tokens import shifted, token
from tests.migrating import SECRET, migrating_shop, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

PLAIN = "sessions_unified.manager.UnifiedSessionManager"


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    NOTED.clear()
    with migrating_shop(settings):
        yield


def session(**fields: Any) -> SessionSnapshot:
    return get_manager("session.create").create_session(**({"email": "ana@example.org"} | fields))


def found(source: str) -> Unseen:
    return next(each for each in unseen(get_tiers()) if each.source == source)


def old_cookie(own: SessionSnapshot) -> str:
    return token(shifted(datetime.now(UTC), id=own.id, email=own.email), secret=SECRET)


def our_token(own: SessionSnapshot) -> str:
    return tokens.issue(own.id, now=get_clock().now(), expires_at=own.expires_at)


def sighted() -> list[tuple[str, str]]:
    return list(StoreSighting.objects.values_list("source", "session_id"))


def test_a_living_session_is_unseen_until_it_is_met() -> None:
    to_stage(Stage.LIVE)
    first, _ = session(), session()
    to_stage(Stage.SHADOW)

    assert found("local_storage").sessions == 2
    note_seen(get_tiers(), "local_storage", first.id)
    assert found("local_storage").sessions == 1
    assert found("cookie").sessions == 2


@pytest.mark.parametrize(
    "gone",
    [
        {"deleted_at": datetime.now(UTC)},
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"status": "completed"},
        {"updated_at": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_what_is_over_is_not_unseen(gone: dict[str, Any]) -> None:
    to_stage(Stage.LIVE)
    session()
    to_stage(Stage.SHADOW)

    UnifiedSession.objects.update(**gone)

    assert found("local_storage").sessions == 0


def test_a_stores_life_is_its_own(settings: SettingsWrapper) -> None:
    settings.MIGRATION = settings.MIGRATION | {"UNLISTED_LIFE_SECONDS": {"cookie": 600}}
    to_stage(Stage.LIVE)
    session()
    to_stage(Stage.SHADOW)
    UnifiedSession.objects.update(updated_at=get_clock().now() - timedelta(minutes=11))

    assert found("cookie").sessions == 0
    assert found("memory_cache").sessions == 1


def test_what_began_here_is_known_here() -> None:
    to_stage(Stage.LIVE)
    StageChange.objects.update(at=get_clock().now() - timedelta(hours=1))

    session()

    assert found("local_storage").sessions == 0


def test_a_store_may_be_retired_a_life_after_unified_came_first_everywhere() -> None:
    to_stage(Stage.LIVE)
    to_stage(Stage.SHADOW, Endpoint.SYNC)
    assert found("cookie").retire_at is None

    to_stage(Stage.LIVE, Endpoint.SYNC)
    since = StageChange.objects.latest("id").at

    assert found("cookie").retire_at == since + timedelta(minutes=30)
    assert found("local_storage").retire_at == since + timedelta(hours=24)


def test_a_cookie_that_earns_is_seen() -> None:
    to_stage(Stage.LIVE)
    own = session()
    client = Client()
    client.cookies["upsell_session"] = old_cookie(own)

    client.get(f"/api/session/{own.id}")

    assert sighted() == [("cookie", own.id)]


def test_a_cookie_beside_our_own_is_seen_if_it_is_of_the_same_session() -> None:
    to_stage(Stage.LIVE)
    own, other = session(), session()
    client = Client()
    client.cookies["funnel_session"] = our_token(own)

    client.cookies["upsell_session"] = old_cookie(other)
    client.get(f"/api/session/{own.id}")
    assert sighted() == []
    client.cookies["upsell_session"] = old_cookie(own)
    client.get(f"/api/session/{own.id}")
    assert sighted() == [("cookie", own.id)]


def test_a_browsers_own_entry_is_seen_and_no_others() -> None:
    to_stage(Stage.LIVE)
    own, other = session(), session()
    entries = [entry(id=each.id, createdAt=iso(each.created_at)) for each in (own, other)]

    Client(headers={"Authorization": f"Bearer {our_token(own)}"}).post(
        "/api/session/sync",
        data=json.dumps({each["id"]: each for each in entries}),
        content_type="application/json",
    )

    assert sighted() == [("local_storage", own.id)]


def test_it_is_noted_once_a_process(django_assert_num_queries: Any) -> None:
    note_seen(get_tiers(), "cookie", "ws_1_a")

    with django_assert_num_queries(0):
        note_seen(get_tiers(), "cookie", "ws_1_a")
    NOTED.clear()
    note_seen(get_tiers(), "cookie", "ws_1_a")

    assert sighted() == [("cookie", "ws_1_a")]


@pytest.mark.parametrize("manager", [PLAIN, None])
def test_nothing_is_noted_where_nothing_is_moved(
    settings: SettingsWrapper, manager: str | None
) -> None:
    if manager is not None:
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": manager}
    to_stage(Stage.COMPLETE)

    note_seen(get_tiers(), "cookie", "ws_1_a")

    assert sighted() == []


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_is_no_matter_and_the_next_time_it_is_noted() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE legacy_adapters_storesighting RENAME TO elsewhere")
    try:
        note_seen(get_tiers(), "cookie", "ws_1_a")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO legacy_adapters_storesighting")

    note_seen(get_tiers(), "cookie", "ws_1_a")

    assert sighted() == [("cookie", "ws_1_a")]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legacy_adapters.migration.unseen._REMEMBERED", 2)

    assert [NOTED.add("cookie", each) for each in "abab"] == [True, True, False, False]
    NOTED.add("cookie", "c")

    assert NOTED.has("cookie", "b")
    assert not NOTED.has("cookie", "a")


def test_sightings_are_kept_as_long_as_a_store_may_hold_the_session() -> None:
    now = get_clock().now()
    for days in (0, 20, 40):
        seen_at = now - timedelta(days=days)
        StoreSighting.objects.create(source="cookie", session_id=f"ws_{days}", seen_at=seen_at)

    assert forget_old(now) == 1
    assert sorted(StoreSighting.objects.values_list("session_id", flat=True)) == ["ws_0", "ws_20"]


def test_a_child_after_fork_takes_nothing_for_noted() -> None:
    assert NOTED.add("cookie", "ws_1")

    child = os.fork()
    if not child:
        os._exit(not NOTED.add("cookie", "ws_1"))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not NOTED.add("cookie", "ws_1")

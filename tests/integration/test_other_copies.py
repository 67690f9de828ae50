"""Copies outside the tiers: whatever goes wrong with one store, the others are heard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from legacy_adapters.copies import legacy_copies
from legacy_adapters.database.store import Table
from sessions_unified import health
from sessions_unified.admin.side_by_side import side_by_side
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.other_copies import OtherCopy, other_copies
from sessions_unified.snapshot import FrozenDict, SessionSnapshot
from sessions_unified.tiers import get_tiers
from tests.legacy import create_table, put, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ID = "ws_mwo5wwds_2"
SESSION = SessionSnapshot(
    id=ID,
    status="pending",
    current_step="checkout",
    version=1,
    created_at=NOW,
    updated_at=NOW,
    expires_at=NOW + timedelta(days=1),
    email="ana@example.org",
)


def shelf(session_id: str) -> list[OtherCopy]:
    session = msgspec.structs.replace(SESSION, id=session_id)
    return [OtherCopy(name="shelf", session=session, fields=frozenset({"email", "status"}))]


def empty_shelf(session_id: str) -> list[OtherCopy]:
    return [OtherCopy(name="empty")]


def burning(session_id: str) -> Iterator[OtherCopy]:
    yield OtherCopy(name="first", session=SESSION)
    message = f"canary of {session_id}"
    raise ZeroDivisionError(message)


def use(settings: SettingsWrapper, *names: str) -> None:
    paths = [name if "." in name else f"{__name__}.{name}" for name in names]
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"OTHER_COPIES": paths}


class TestGathering:
    def test_nobody_is_asked_by_default(self, settings: SettingsWrapper) -> None:
        use(settings)

        assert other_copies(ID) == ()

    def test_one_that_fails_hides_no_other_and_quotes_nothing(
        self, settings: SettingsWrapper
    ) -> None:
        use(settings, "burning", "nowhere.at_all", "shelf")

        first, failed, absent, last = other_copies(ID)

        assert first.session == SESSION
        assert failed == OtherCopy(name=f"{__name__}.burning", error="failed: ZeroDivisionError")
        assert absent == OtherCopy(name="nowhere.at_all", error="failed: ModuleNotFoundError")
        assert last.name == "shelf"


class TestDifferences:
    def test_the_fields_that_it_speaks_of_are_compared(self) -> None:
        other = msgspec.structs.replace(
            SESSION, email="bo@example.org", version=7, customer=FrozenDict({"a": 1})
        )
        plain = OtherCopy(name="x", session=other)
        narrow = OtherCopy(name="x", session=other, fields=frozenset({"email", "status"}))

        assert plain.differences(SESSION) == ("version", "email", "customer")
        assert narrow.differences(SESSION) == ("email",)

    def test_a_store_may_compare_in_its_own_way(self) -> None:
        copy = OtherCopy(
            name="x",
            session=msgspec.structs.replace(SESSION, email="ANA@example.org"),
            fields=frozenset({"email", "status"}),
            differing=lambda truth: {"status", "amount"} if truth == SESSION else (),
        )

        assert copy.differences(SESSION) == ("status",)

    def test_with_one_side_missing_nothing_differs(self) -> None:
        assert OtherCopy(name="x", session=SESSION).differences(None) == ()
        assert OtherCopy(name="x", error="gone").differences(SESSION) == ()


class TestHealth:
    def test_others_are_named_only_where_they_are_given(self) -> None:
        session = UnifiedSessionManager().create_session(email="ana@example.org")
        other = msgspec.structs.replace(session, email="bo@example.org")
        copies = [OtherCopy(name="shelf", session=other), OtherCopy(name="x", error="down")]

        without = health.examine(get_tiers(), session.id)
        found = health.examine(get_tiers(), session.id, others=copies)

        assert without.problems == ()
        assert found.problems == ("shelf: differs in email",)
        assert msgspec.structs.replace(found, problems=(), tiers=()) == (
            msgspec.structs.replace(without, tiers=())
        )


class TestLegacyCopies:
    TABLE = Table(alias="default", name="funnel_sessions")

    @pytest.fixture(autouse=True)
    def stores(self, settings: SettingsWrapper) -> None:
        table = settings.LEGACY_ADAPTERS["database"]
        settings.LEGACY_ADAPTERS = {
            "cookie": settings.LEGACY_ADAPTERS["cookie"],
            "archive": table | {"TABLE": "old_sessions"},
            "database": table,
        }

    def test_each_store_of_the_server_has_its_say(self) -> None:
        create_table(self.TABLE)
        put(self.TABLE, row(id=ID))

        archive, database = legacy_copies(ID)

        assert (archive.name, archive.session) == ("legacy archive", None)
        assert "old_sessions" in str(archive.error)
        assert database.name == "legacy database"
        assert database.session is not None
        assert database.session.id == ID
        assert database.fields is not None
        assert "metadata" not in database.fields

    def test_none_of_it(self) -> None:
        create_table(self.TABLE)

        copy = next(each for each in legacy_copies(ID) if each.name == "legacy database")

        assert (copy.session, copy.error) == (None, None)

    def test_a_store_that_is_not_there_leaves_a_transaction_as_it_is(self) -> None:
        session = UnifiedSessionManager().create_session(email="ana@example.org")

        copy = next(each for each in legacy_copies(session.id) if each.name == "legacy database")

        assert copy.error is not None
        assert "funnel_sessions" in copy.error
        assert UnifiedSessionManager().get_session(session.id, fresh=True) == session

    def test_a_store_set_up_wrongly_says_so(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = {"odd": {"ADAPTER": "legacy_adapters.nowhere.Adapter"}}

        (copy,) = legacy_copies(ID)

        assert copy.name == "legacy odd"
        assert "LEGACY_ADAPTERS['odd']" in str(copy.error)


class TestInTheAdmin:
    """The table on a session's page."""

    @pytest.fixture(autouse=True)
    def stores(self, settings: SettingsWrapper) -> None:
        use(settings, "shelf", "empty_shelf", "burning")

    def test_other_stores_have_columns_beside_the_tiers(self) -> None:
        manager = UnifiedSessionManager()
        session = manager.create_session(email="bo@example.org", metadata={"gift": True})

        table = side_by_side(get_tiers(), session.id, shows_pii=False)

        assert [column.name for column in table.columns] == [
            *("memory", "redis", "database"),
            *("shelf", "first"),
        ]
        assert table.truth == session
        cells = {line.field: line.cells[3] for line in table.lines}
        assert (cells["email"].text, cells["email"].differs) == ("a•••@example.org", True)
        assert not cells["status"].differs
        assert (cells["metadata"].text, cells["metadata"].differs) == ("", False)

    def test_those_with_nothing_to_show_are_named_below(self) -> None:
        session = UnifiedSessionManager().create_session(email="bo@example.org")

        table = side_by_side(get_tiers(), session.id, shows_pii=False)

        assert table.without == (
            ("empty", "holds nothing"),
            (f"{__name__}.burning", "failed: ZeroDivisionError"),
        )

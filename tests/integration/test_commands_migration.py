"""The commands of a migration, as an operator runs them: what they print, and what they refuse."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from legacy_adapters import sample_world
from legacy_adapters.database.store import Table
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.management.commands.backfill_sessions import SHOWN
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from tests.legacy import create_table, paid_row, put, row

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

TABLE = Table(alias="default", name="funnel_sessions")


def run(command: str, *arguments: str, **options: Any) -> list[str]:
    out = StringIO()
    call_command(command, *arguments, stdout=out, **options)
    return out.getvalue().splitlines()


class TestLoadSampleWorld:
    def test_it_makes_the_shop_as_of_now(self) -> None:
        assert run("load_sample_world") == [
            "Loaded a sample shop's 215 sessions into funnel_sessions."
        ]

        now = timezone.now()
        ((shift, oldest, newest, alive),) = TABLE.fetch(
            "SELECT max(expires_at - created_at), min(created_at), max(created_at), "
            "count(*) FILTER (WHERE expires_at > now()) FROM {}"
        )
        assert shift == timedelta(days=1)
        assert now - timedelta(days=4) < oldest < newest <= now
        assert alive == 74

    def test_its_shape_is_the_samples_own(self) -> None:
        run("load_sample_world")

        types = TABLE.columns()
        assert types["upsells_accepted"] == "text[]"
        assert types["customer_info"] == "jsonb"

    def test_repeated_it_leaves_everything(self) -> None:
        run("load_sample_world", "--if-missing")
        before = TABLE.fetch("SELECT id, created_at, xmin::text FROM {} ORDER BY id")

        lines = run("load_sample_world", "--if-missing")

        assert lines == ["The old shop's table funnel_sessions is there: 215 sessions."]
        assert TABLE.fetch("SELECT id, created_at, xmin::text FROM {} ORDER BY id") == before

    def test_it_never_mixes_with_a_real_shop(self) -> None:
        create_table(TABLE)
        put(TABLE, row())

        with pytest.raises(CommandError, match="has 1 rows already, perhaps a real shop's"):
            run("load_sample_world")

        assert TABLE.fetch("SELECT count(*) FROM {}") == [(1,)]

    def test_an_empty_table_is_filled(self) -> None:
        create_table(TABLE)

        assert run("load_sample_world", "--if-missing") == [
            "Loaded a sample shop's 215 sessions into funnel_sessions."
        ]

    def test_a_table_of_another_shape_is_left_alone(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE funnel_sessions (id int)")

        with pytest.raises(CommandError, match="cannot be filled"):
            run("load_sample_world")

    def test_into_another_table(self, settings: SettingsWrapper) -> None:
        entry = settings.LEGACY_ADAPTERS["database"] | {"TABLE": 'Old "50%" shop'}
        settings.LEGACY_ADAPTERS = {"database": entry}

        assert run("load_sample_world") == [
            'Loaded a sample shop\'s 215 sessions into Old "50%" shop.'
        ]
        assert run("backfill_sessions", "--source", "database")[0] == "Read: 215"

    def test_where_there_is_no_such_database(self, settings: SettingsWrapper) -> None:
        entry = settings.LEGACY_ADAPTERS["database"] | {"ALIAS": "nowhere"}
        settings.LEGACY_ADAPTERS = {"database": entry}

        with pytest.raises(CommandError, match="no database 'nowhere'"):
            run("load_sample_world")

    def test_where_the_database_store_is_another_one(self, settings: SettingsWrapper) -> None:
        memory = {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter"}
        settings.LEGACY_ADAPTERS = {"database": memory}

        with pytest.raises(CommandError, match="not the adapter of a table"):
            run("load_sample_world")


class TestBackfillSessions:
    def test_it_tells_a_person_the_counts(self) -> None:
        sample_world.load(TABLE)

        assert run("backfill_sessions", "--source", "database") == [
            "Read: 215",
            "  215 imported",
            "    0 unchanged",
            "    0 conflicting",
            "    0 unreadable",
        ]

    def test_it_names_what_needs_a_person_and_why(self) -> None:
        create_table(TABLE)
        put(TABLE, row(), row(id="ws_1_a"))
        run("backfill_sessions", "--source", "database")
        UnifiedSessionManager().update_session("ws_1_a", {"email": "here@example.org"})
        put(TABLE, row(id="ws_1_a", email="there@example.org"), row(id="ws_1_b", email="x"))

        assert run("backfill_sessions", "--source", "database") == [
            "Read: 3",
            "  0 imported",
            "  1 unchanged",
            "  1 conflicting",
            "  1 unreadable",
            "Conflicting (changed on both sides; the session here stays):",
            "  ws_1_a: email",
            "Unreadable (left in the legacy store):",
            "  ws_1_b: email has no @",
        ]

    def test_it_names_the_first_ones_and_counts_the_rest(self) -> None:
        create_table(TABLE)
        put(TABLE, *(row(id=f"ws_1_{number:03}", email="x") for number in range(SHOWN + 2)))

        lines = run("backfill_sessions", "--source", "database")

        assert lines[-3:] == [
            "  ws_1_018: email has no @",
            "  ws_1_019: email has no @",
            "  … and 2 more (--json names all of them)",
        ]

    def test_json_is_the_last_line_and_adds_up(self) -> None:
        create_table(TABLE)
        put(TABLE, row(), paid_row(id="ws_1_a"), row(id="bad"), row(id="ws_1_b", status=None))

        first = json.loads(run("backfill_sessions", "--source", "database", "--json")[-1])
        second = json.loads(run("backfill_sessions", "--source", "database", "--json")[-1])

        unreadable = [
            {"id": "bad", "reason": "id does not have the form ws_<time>_<random>"},
            {"id": "ws_1_b", "reason": "status is missing"},
        ]
        none = {"conflicting": 0, "conflicts": [], "masked": [], "unreadable": unreadable}
        assert first == {"read": 4, "imported": 2, "unchanged": 0, **none}
        assert second == {"read": 4, "imported": 0, "unchanged": 2, **none}

    def test_a_dry_run_says_so_and_writes_nothing(self) -> None:
        create_table(TABLE)
        put(TABLE, row())

        lines = run("backfill_sessions", "--source", "database", "--dry-run")

        assert lines[:2] == ["Read (dry run: nothing was written): 1", "  1 would be imported"]
        assert not UnifiedSession.objects.exists()

    def test_nothing_to_do(self) -> None:
        create_table(TABLE)

        assert run("backfill_sessions", "--source", "database") == [
            "Nothing to import: the legacy store is empty."
        ]

    @pytest.mark.parametrize(
        ("cut", "said"),
        [
            (KeyboardInterrupt(), "Stopped."),
            (SourceUnavailableError("The store is gone."), "The store is gone."),
            (OperationalError("server closed the connection"), "server closed the connection"),
        ],
    )
    def test_cut_short_it_says_that_running_it_again_goes_on(
        self, settings: SettingsWrapper, cut: BaseException, said: str
    ) -> None:
        entry = {"ADAPTER": "tests.legacy.InterruptedAdapter", "AFTER": cut}
        settings.LEGACY_ADAPTERS = {"old": entry}

        with pytest.raises(CommandError, match=f"{re.escape(said)} What was imported so far stays"):
            run("backfill_sessions", "--source", "old")

        assert UnifiedSession.objects.count() == 1

    def test_an_unknown_source(self) -> None:
        with pytest.raises(CommandError, match=r"no legacy store 'cookie'; .* has: database\."):
            run("backfill_sessions", "--source", "cookie")

    def test_a_missing_table_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(CommandError, match=r"LEGACY_DATABASE_URL .* LEGACY_SESSION_TABLE"):
            run("backfill_sessions", "--source", "database")

    def test_a_missing_database_is_refused_with_the_way_out(
        self, settings: SettingsWrapper
    ) -> None:
        entry = settings.LEGACY_ADAPTERS["database"] | {"ALIAS": "nowhere"}
        settings.LEGACY_ADAPTERS = {"database": entry}

        with pytest.raises(CommandError, match="Set LEGACY_DATABASE_URL"):
            run("backfill_sessions", "--source", "database", skip_checks=True)

    def test_wrong_options_in_the_settings(self, settings: SettingsWrapper) -> None:
        entry = settings.LEGACY_ADAPTERS["database"] | {"TABEL": "x"}
        settings.LEGACY_ADAPTERS = {"database": entry}

        with pytest.raises(CommandError, match="tabel"):
            run("backfill_sessions", "--source", "database", skip_checks=True)

    @pytest.mark.parametrize("option", ["--batch-size", "--limit"])
    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_absurd_counts(self, option: str, value: str) -> None:
        with pytest.raises(CommandError, match=f"{option}"):
            run("backfill_sessions", "--source", "database", option, value)

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
from kombu.exceptions import OperationalError as BrokerError

from legacy_adapters import sample_world
from legacy_adapters.database.store import Table
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.backfill import runs, slices
from legacy_adapters.migration.backfill.telling import SHOWN
from legacy_adapters.migration.backfill.working import Worker
from legacy_adapters.models import BackfillRun, BackfillSlice
from legacy_adapters.tasks import run_backfills
from sessions_unified.clock import get_clock
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
            "    0 merged",
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
            "  0 merged",
            "  1 conflicting",
            "  1 unreadable",
            "Conflicting (the session here stays):",
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
        none = {
            "merged": 0,
            "conflicting": 0,
            "unreadableCount": 2,
            "conflicts": [],
            "masked": [],
            "unreadable": unreadable,
        }
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
            "Nothing to import from the legacy store: it is empty."
        ]

    @pytest.mark.parametrize(
        ("cut", "said"),
        [
            (KeyboardInterrupt(), "Stopped."),
            (SourceUnavailableError("The store is gone."), "The store is gone."),
            (OperationalError("server closed the connection"), "server closed the connection."),
        ],
    )
    def test_cut_short_it_says_that_running_it_again_goes_on(
        self, settings: SettingsWrapper, cut: BaseException, said: str
    ) -> None:
        entry = {"ADAPTER": "tests.legacy.InterruptedAdapter", "AFTER": cut}
        settings.LEGACY_ADAPTERS = {"old": entry}

        with pytest.raises(CommandError, match=f"{re.escape(said)} What was imported so far stays"):
            run("backfill_sessions", "--source", "old", "--batch-size", "1")

        assert UnifiedSession.objects.count() == 1

    def test_an_unknown_source(self) -> None:
        with pytest.raises(CommandError, match=r"no legacy store 'memory'; .* has: .*database"):
            run("backfill_sessions", "--source", "memory")
        with pytest.raises(CommandError, match="no legacy store 'memory'"):
            run("backfill_sessions", "--source", "memory", "--status")

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

    @pytest.mark.parametrize("option", ["--batch-size", "--limit", "--workers"])
    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_absurd_counts(self, option: str, value: str) -> None:
        with pytest.raises(CommandError, match=f"{option}"):
            run("backfill_sessions", "--source", "database", option, value)

    @pytest.mark.parametrize("value", ["-1", "fast"])
    def test_an_absurd_throttle(self, value: str) -> None:
        with pytest.raises(CommandError, match="--throttle"):
            run("backfill_sessions", "--source", "database", "--throttle", value)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--resume", "--restart"], "--resume and --restart do not go together."),
            (["--dry-run", "--pause"], "--dry-run and --pause do not go together."),
            (["--limit=1", "--workers=2"], "--limit is for one worker, here."),
            (["--limit=1", "--background"], "--limit is for one worker, here."),
            (["--resume", "--since=last"], "leave out --since"),
            (["--background", "--dry-run"], "--dry-run and --background do not go together."),
            (["--since", "yesterday"], "--since"),
        ],
    )
    def test_what_does_not_go_together(self, arguments: list[str], said: str) -> None:
        with pytest.raises(CommandError, match=re.escape(said)):
            run("backfill_sessions", "--source", "database", *arguments)


def backfill(*arguments: str, **options: Any) -> list[str]:
    return run("backfill_sessions", "--source=database", *arguments, **options)


class TestARunThatIsNotOver:
    @pytest.fixture(autouse=True)
    def begun(self) -> None:
        """Read three records of five."""
        create_table(TABLE)
        put(TABLE, *(row(id=f"ws_1_{number}") for number in range(5)))
        err = StringIO()
        lines = backfill("--limit=3", stderr=err)

        assert lines[:2] == ["Read: 3", "  3 imported"]
        assert err.getvalue() == (
            "Stopped at the limit, after 3 of about 5 records. --resume goes on.\n"
        )

    def test_no_other_is_begun_beside_it(self) -> None:
        number = BackfillRun.objects.get().pk
        with pytest.raises(CommandError) as refusal:
            backfill()

        assert re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d", "THEN", str(refusal.value)) == (
            f"The backfill {number} of database, begun THEN UTC, is not over: running, 3 of about "
            "5 records read. Go on with it by --resume, or abandon it and begin anew by --restart."
        )

    def test_resume_goes_on_where_it_was(self) -> None:
        assert backfill("--resume")[:3] == ["Read: 5", "  5 imported", "  0 unchanged"]
        assert BackfillRun.objects.get().state == "finished"

    def test_restart_begins_anew(self) -> None:
        assert backfill("--restart")[:3] == ["Read: 5", "  2 imported", "  3 unchanged"]

        first, second = BackfillRun.objects.order_by("pk")
        assert (first.state, first.problem) == ("failed", "abandoned by --restart")
        assert second.state == "finished"

    def test_a_dry_run_beside_it_is_none_of_its(self) -> None:
        assert backfill("--dry-run")[:3] == [
            "Read (dry run: nothing was written): 5",
            "  2 would be imported",
            "  3 unchanged",
        ]
        assert BackfillRun.objects.get().state == "running"

    def test_paused_and_gone_on_with(self) -> None:
        number = BackfillRun.objects.get().pk

        (line,) = backfill("--pause")

        assert line == (
            f"Backfill {number} of database is paused: its workers stop after their batch. "
            "--resume goes on."
        )
        assert backfill("--status")[0] == (
            f"Backfill {number} of database: paused, 3 of about 5 records"
        )
        assert backfill("--resume")[0] == "Read: 5"

    def test_its_status_tells_slice_and_place(self) -> None:
        lines = backfill("--status")

        assert re.fullmatch(
            r"Backfill \d+ of database: begun, and nobody is at it: 3 of about 5 records\. "
            r"--resume goes on",
            lines[0],
        )
        assert re.fullmatch(
            r"  slice 1: 3 records at ws_1_2, waiting, last batch \d s ago", lines[1]
        )

    def test_its_status_while_a_worker_is_at_it(self) -> None:
        BackfillSlice.objects.update(claimed_by="1-a", updated_at=get_clock().now())

        assert re.fullmatch(
            r"Backfill \d+ of database: running, 3 of about 5 records, [\d.,]+/(s|min), .* left",
            backfill("--status")[0],
        )

    def test_its_status_for_scripts(self) -> None:
        (found,) = json.loads(backfill("--status", "--json")[-1])

        assert (found["state"], found["read"], found["imported"], found["total"]) == (
            *("running", 3, 3, 5),
        )
        assert found["working"] is False

    def test_a_throttle_is_kept_and_taken_back(self) -> None:
        backfill("--resume", "--throttle=1000000", "--limit=1", "--batch-size=9", stderr=StringIO())
        found = BackfillRun.objects.get()
        assert (found.rows_per_second, found.batch_size) == (1_000_000, 9)

        backfill("--resume", "--throttle=0")

        assert BackfillRun.objects.get().rows_per_second is None


class TestRunsThatAreOver:
    @pytest.fixture(autouse=True)
    def table(self) -> None:
        create_table(TABLE)

    def test_resume_without_one_begins_one(self) -> None:
        put(TABLE, row())

        assert backfill("--resume")[:2] == ["Read: 1", "  1 imported"]

    def test_since_the_last(self) -> None:
        put(TABLE, row(), row(id="ws_1_a", updated_at=timezone.now()))
        err = StringIO()

        assert backfill("--since=last", stderr=err)[0] == "Read: 2"
        assert err.getvalue() == (
            "No backfill of this store has finished yet: reading all of it.\n"
        )
        assert backfill("--since=last")[:3] == ["Read: 1", "  0 imported", "  1 unchanged"]
        assert backfill("--since=2999-01-01") == [
            "Nothing to import from the legacy store: nothing was changed since then."
        ]

    def test_since_a_moment(self) -> None:
        put(TABLE, row(updated_at="2026-01-01T11:59:59+00:00"))
        put(TABLE, row(id="ws_1_a", updated_at="2026-01-01T12:00:00+00:00"))

        assert backfill("--since=2026-01-01T12:00:00Z", "--dry-run")[1] == "  1 would be imported"
        assert backfill("--since=2026-01-01T12:00")[0] == "Read: 1"

    def test_pause_finds_nothing(self) -> None:
        with pytest.raises(CommandError, match="No backfill of database is under way"):
            backfill("--pause")

    def test_status_of_none_and_of_a_finished_one(self) -> None:
        assert backfill("--status") == ["There has been no backfill of database."]
        put(TABLE, row())
        backfill()

        (line,) = backfill("--status")
        assert re.fullmatch(
            r"Backfill \d+ of database: finished 20.* UTC, 1 of about 1 records", line
        )


class TestInTheBackground:
    @pytest.fixture(autouse=True)
    def table(self) -> None:
        create_table(TABLE)
        put(TABLE, *(row(id=f"ws_1_{number}") for number in range(5)))

    @pytest.fixture(autouse=True)
    def woken(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """Take the messages that would be sent."""
        sent: list[dict[str, Any]] = []
        monkeypatch.setattr(run_backfills, "apply_async", lambda **options: sent.append(options))
        return sent

    def test_it_is_left_to_the_workers(self, woken: list[dict[str, Any]]) -> None:
        (line,) = backfill("--background")

        assert line.endswith(
            "is left to the Celery workers: about 5 records. --status says how far it is, "
            "--pause stops it."
        )
        assert woken == [{"retry": False}]
        assert UnifiedSession.objects.count() == 0
        assert run_backfills() == 5
        assert BackfillRun.objects.get().state == "finished"
        assert "finished" in backfill("--status")[0]

    def test_without_a_broker_it_waits_for_beat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(**_: Any) -> None:
            raise BrokerError

        monkeypatch.setattr(run_backfills, "apply_async", refuse)
        err = StringIO()

        backfill("--background", stderr=err)

        assert "The broker does not answer" in err.getvalue()
        assert BackfillRun.objects.get().state == "queued"

    def test_a_wake_up_out_of_time_leaves_the_rest_to_the_next(
        self, woken: list[dict[str, Any]]
    ) -> None:
        backfill("--background", "--batch-size=2")
        woken.clear()

        assert run_backfills(seconds=0) == 0
        assert BackfillRun.objects.get().state == "running"
        assert woken == []
        assert run_backfills() == 5

    def test_it_wakes_itself_while_work_is_left(
        self, woken: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backfill("--background", "--batch-size=2")
        woken.clear()
        monkeypatch.setattr(Worker, "work", lambda worker: worker.advance(2))

        assert run_backfills() == 2
        assert woken == [{"expires": 30}]

    def test_a_foreground_run_is_left_alone(self) -> None:
        backfill("--limit=2", stderr=StringIO())

        assert run_backfills() == 0
        backfill("--resume", "--background")
        assert run_backfills() == 3

    def test_paused_it_is_left_alone(self) -> None:
        backfill("--background")
        backfill("--pause")

        assert run_backfills() == 0

    def test_a_store_that_is_gone_is_told_and_tried_again(self, settings: SettingsWrapper) -> None:
        gone = SourceUnavailableError("The store is gone.")
        entry = {"ADAPTER": "tests.legacy.InterruptedAdapter", "AFTER": gone}
        settings.LEGACY_ADAPTERS = {"old": entry}
        run("backfill_sessions", "--source=old", "--background", "--batch-size=1")

        assert run_backfills() == 1
        assert run("backfill_sessions", "--source=old", "--status")[1] == "  The store is gone."

        settings.LEGACY_ADAPTERS = {"old": {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter"}}
        assert run_backfills() == 0
        found = BackfillRun.objects.get()
        assert (found.state, found.problem) == ("finished", "")

    @pytest.mark.parametrize("entry", [{}, {"ADAPTER": "legacy_adapters.testing.Gone"}])
    def test_a_store_whose_settings_are_wrong_keeps_no_other_waiting(
        self, settings: SettingsWrapper, entry: dict[str, Any]
    ) -> None:
        right = settings.LEGACY_ADAPTERS
        memory = {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter"}
        settings.LEGACY_ADAPTERS = {**right, "old": memory}
        run("backfill_sessions", "--source=old", "--background")
        backfill("--background")
        settings.LEGACY_ADAPTERS = {**right, "old": entry or {**memory, "NO": "such option"}}

        assert run_backfills() == 5

        problem = BackfillRun.objects.get(source="old").problem
        assert problem.startswith("LEGACY_ADAPTERS['old']")

    def test_enough_workers_are_enough(self) -> None:
        backfill("--background", "--workers=3")
        found = BackfillRun.objects.get()
        runs.start(found)
        assert slices.claim(found, "one") is not None
        assert slices.claim(found, "two") is not None

        assert run_backfills() == 0

    def test_a_throttle_holds_for_all_of_them(self) -> None:
        backfill("--background", "--workers=3", "--throttle=1000000")
        found = BackfillRun.objects.get()
        runs.start(found)
        assert slices.claim(found, "one") is not None

        assert run_backfills() == 0

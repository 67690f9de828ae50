"""`manage.py migration`, as an operator runs it: what it prints, refuses and leaves behind."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import shutil
import stat
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from legacy_adapters.management.commands.migration import Command
from legacy_adapters.migration.retiring import archiving
from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.steering import operating
from legacy_adapters.models import ProcessReport, StageChange, WriteMark
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.database import DatabaseTier
from tests.legacy import create_table, paid_row, put, row
from tests.migrating import migrating_shop, table, to_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

WHY = "--reason=because"
NAME = "funnel_sessions"
NAMING_THE_APP = (
    *("funnel/legacy_settings.py", "pyproject.toml", "COPY legacy_adapters", "compose.yaml passes"),
    *("tests/benchmarks/", "catalogue.py", "deploy/prometheus/", "deploy/grafana/"),
)


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    """Make a shop with a legacy table, whose stores keep nothing long."""
    with migrating_shop(settings):
        lives = {"cookie": 0, "memory_cache": 0, "local_storage": 0}
        settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0, "UNLISTED_LIFE_SECONDS": lives}
        yield


def run(*arguments: str, sleep: Callable[[float], Any] = lambda _: None) -> list[str]:
    if arguments[0] == "retire":
        flush_counters()  # of what the test itself did before
    command, out = Command(), StringIO()
    command.sleep = sleep  # type: ignore[method-assign,assignment]
    call_command(command, *arguments, stdout=out)
    return out.getvalue().splitlines()


def flush_counters() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")


def refused(*arguments: str, code: int = 1, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        run(*arguments, **options)
    assert caught.value.returncode == code
    return str(caught.value)


def stages() -> list[str]:
    return [stage for stage, _ in places()]


def places() -> list[tuple[str, float]]:
    found = json.loads("".join(run("status", "--json")))
    return [(each["stage"], each["percent"]) for each in found]


class TestStatus:
    def test_json_is_the_list_that_scripts_rely_on(self) -> None:
        to_stage("dual_write", Endpoint.DETAIL)

        (line,) = run("status", "--json")

        found = json.loads(line)
        assert [each["endpoint"] for each in found] == Endpoint.values
        for each in found:
            wanted = ["endpoint", "stage", "percent", "parity", "repair_backlog", "gates"]
            assert list(each)[:6] == wanted
            assert all(list(gate)[:3] == ["name", "open", "reason"] for gate in each["gates"])
        detail = found[Endpoint.values.index(Endpoint.DETAIL)]
        assert (detail["stage"], detail["percent"]) == ("dual_write", 100)

    def test_one_endpoint(self) -> None:
        (line,) = run("status", "--json", "--endpoint", "client.sync")

        assert [each["endpoint"] for each in json.loads(line)] == ["client.sync"]

    def test_a_person_sees_the_table_and_what_is_in_the_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        to_stage("dual_write")
        to_stage("off", Endpoint.SYNC)

        lines = run("status")

        assert lines[0].split() == ["Endpoint", "Stage", "Sessions", "Compared", "Agree", "Differ"]
        assert lines[1].split() == ["session.create", "dual_write", "100", "%", "-", "-", "-"]
        assert "client.sync may go to dual_write for 100 %." in lines
        text = " ".join(" ".join(lines).split())
        assert "In the way of session.create to shadow for 100 %, session.detail to" in text
        assert "[order]" in text
        assert max(map(len, lines)) <= 80

    def test_a_narrow_terminal_gets_a_paragraph_an_endpoint(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        to_stage("dual_write", Endpoint.DETAIL)

        lines = run("status")

        assert "session.detail: dual_write for 100 %" in lines
        assert [line for line in lines if len(line) > 40] == []

    def test_what_waits_for_repair_is_counted(self) -> None:
        to_stage("dual_write")
        mark("ws_mwo5wwds_2")

        assert any(line.startswith("Repair: 1 sessions wait.") for line in run("status"))


class TestPlan:
    def test_an_open_way_is_described_and_nothing_moves(self) -> None:
        lines = run("plan", "--endpoint", "session.detail")

        assert lines[0] == "session.detail: off for 100 % → dual_write for 100 %"
        assert all(" SHUT " not in line for line in lines)
        assert stages() == ["off"] * 5

    def test_a_shut_gate_is_named_and_is_status_1(self) -> None:
        to_stage("dual_write", Endpoint.DETAIL)

        said = refused("plan", "--endpoint", "session.detail")

        assert "Nothing was moved." in said
        assert "[order]" in said
        assert "[backfill]" in said

    def test_json(self) -> None:
        (line,) = run("plan", "--endpoint", "session.detail", "--percent", "12.5", "--json")

        (found,) = json.loads(line)
        assert found["allowed"] is True
        assert found["to"] == {"stage": "dual_write", "percent": 12.5}
        assert [each["percent"] for each in found["sessions"]] == [12.5, 87.5]
        assert found["sessions"][0]["reads"] == ["legacy", "legacy"]

    def test_a_reason_is_shown_as_it_would_be_recorded(self) -> None:
        lines = run("plan", "--endpoint=client.sync", WHY)
        (line,) = run("plan", "--endpoint=client.sync", WHY, "--json")

        assert lines[-1] == "The history would say: because"
        assert json.loads(line)[0]["reason"] == "because"
        assert StageChange.objects.count() == 0

    def test_at_the_end_there_is_nothing_to_plan(self) -> None:
        to_stage("complete")

        assert "nothing after it" in refused("plan", "--endpoint", "session.detail")


class TestAdvance:
    def test_it_moves_says_what_to_watch_and_keeps_who_and_why(self) -> None:
        lines = run("advance", "--endpoint=session.detail", WHY, "--actor=ana", "--percent=5")

        assert lines[0] == "session.detail: off for 100 % → dual_write for 5 %"
        assert "Watch the marks" in " ".join(lines)
        change = StageChange.objects.get()
        assert (change.actor, change.reason, change.is_automatic) == ("ana", "because", False)

    def test_all_at_once(self) -> None:
        run("advance", "--endpoint=all", WHY)

        assert stages() == ["dual_write"] * 5
        assert StageChange.objects.values_list("actor", flat=True).first()

    def test_a_shut_gate_moves_none_of_several(self) -> None:
        to_stage("dual_write", Endpoint.DETAIL)

        said = refused("advance", "--endpoint=session.detail", "--endpoint=client.sync", WHY)

        assert "[backfill]" in said
        assert stages().count("dual_write") == 1

    def test_of_several_those_that_are_there_already_stay(self) -> None:
        to_stage("dual_write", Endpoint.DETAIL)

        run("advance", "--endpoint=all", "--stage=dual_write", WHY)

        assert stages() == ["dual_write"] * 5
        assert StageChange.objects.count() == 5
        assert refused("advance", "--endpoint=all", "--stage=dual_write", WHY)

    def test_the_next_waits_until_every_process_has_seen_the_one_before(self) -> None:
        now = get_tiers().clock.now()
        process = ProcessReport.objects.create(
            id=uuid4(), name="web", host="a", pid=1, epoch=0, started_at=now, reported_at=now
        )
        waits = []

        def see(seconds: float) -> None:
            waits.append(seconds)
            process.epoch = StageChange.objects.latest("pk").pk
            process.save()

        run("advance", "--endpoint=client.sync", "--endpoint=session.detail", WHY, sleep=see)

        assert stages().count("dual_write") == 2
        assert len(waits) == 1

    def test_without_a_reason_it_is_no_move(self) -> None:
        with pytest.raises(CommandError, match="--reason"):
            run("advance", "--endpoint=session.detail")

        assert "Say why" in refused("advance", "--endpoint=session.detail", "--reason= ")

    def test_back_is_not_forward(self) -> None:
        to_stage("live")

        assert "Roll back" in refused("advance", "--endpoint=all", "--stage=shadow", WHY)

    @pytest.mark.parametrize("text", ["0", "100.5", "0.001", "ten", "nan"])
    def test_what_is_no_percentage(self, text: str) -> None:
        with pytest.raises(CommandError, match="is no percentage"):
            run("advance", "--endpoint=all", f"--percent={text}", WHY)

    def test_our_database_down_is_status_2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise DatabaseUnavailableError

        monkeypatch.setattr(DatabaseTier, "fetch", fail)

        said = refused("advance", "--endpoint=session.detail", WHY, code=2)

        assert "nothing was moved" in said


@pytest.mark.parametrize("action", ["status", "plan", "advance", "rollback", "pause", "history"])
def test_each_action_takes_the_four_options_of_all(action: str) -> None:
    to_stage("dual_write", Endpoint.SYNC)
    before, is_move = places(), action in {"advance", "rollback"}
    endpoint = "session.detail" if action in {"plan", "advance"} else "client.sync"

    (line,) = run(action, f"--endpoint={endpoint}", "--percent=50", WHY, "--json")

    assert json.loads(line)
    assert (places() != before) is is_move


class TestRollback:
    def test_one_stage_or_as_far_as_asked(self) -> None:
        to_stage("ramp_down")

        run("rollback", "--endpoint=session.detail", WHY)
        assert stages().count("live") == 1

        lines = run("rollback", "--endpoint=all", "--stage=dual_write", WHY, "--json")
        assert stages() == ["dual_write"] * 5
        assert {each["to"]["stage"] for each in json.loads(lines[0])} == {"dual_write"}

    def test_all_go_back_one_stage_each(self) -> None:
        to_stage("shadow")

        run("rollback", "--endpoint=all", WHY)

        assert stages() == ["dual_write"] * 5

    def test_one_that_is_further_ahead_goes_back_first(self) -> None:
        to_stage("shadow")
        to_stage("dual_write", Endpoint.CREATE)

        run("rollback", "--endpoint=all", WHY)

        assert stages() == ["off"] + ["dual_write"] * 4

    def test_who_came_back_with_another_is_told_and_moved_once(self) -> None:
        to_stage("shadow")

        lines = run(
            "rollback", "--endpoint=client.sync", "--endpoint=session.detail", "--stage=off", WHY
        )

        assert "session.create: shadow for 100 % → dual_write for 100 %" in lines
        assert "client.sync: dual_write for 100 % → off for 100 %" in lines
        assert sorted(stages()) == ["dual_write"] * 3 + ["off"] * 2

    def test_forward_is_not_back(self) -> None:
        assert refused("rollback", "--endpoint=client.sync", "--stage=live", WHY)


class TestHoldingAndHistory:
    def test_pause_shuts_a_gate_until_resume(self) -> None:
        run("pause", "--endpoint=session.detail", "--reason=holidays")

        assert "[paused]" in refused("advance", "--endpoint=session.detail", WHY)
        assert "holidays" in " ".join(run("status"))

        run("resume", "--endpoint=session.detail", WHY)
        run("advance", "--endpoint=session.detail", WHY)

    def test_history_says_who_when_why_and_what_moved_by_itself(self) -> None:
        to_stage("live")
        operating.demote(get_tiers(), Endpoint.DETAIL, reason="5 differ")

        lines = run("history", "--limit=1")
        assert "session.detail: live for 100 % → shadow for 100 %" in lines[0]
        assert lines[1] == "  by itself (demotion): 5 differ"
        (last,) = json.loads(run("history", "--limit=1", "--json")[0])
        assert (last["automatic"], last["reason"]) == (True, "5 differ")

    def test_where_nothing_ever_moved(self) -> None:
        assert run("history") == ["Nothing was ever moved."]


def mark(session_id: str) -> None:
    now = get_tiers().clock.now()
    WriteMark.objects.create(
        session_id=session_id, side=Side.LEGACY, bucket=1, marked_at=now, due_at=now
    )


def is_there() -> bool:
    return NAME in connection.introspection.table_names()


@pytest.mark.django_db(transaction=True)
class TestRetire:
    @pytest.fixture(autouse=True)
    def complete(self) -> None:
        put(table().table, row(), paid_row(id="ws_mwo5wwds_paid", email='o"b,r\n@example.org'))
        to_stage(Stage.COMPLETE)

    def test_it_looks_and_says_what_may_go(self) -> None:
        lines = run("retire")

        assert f"Looking for 30 s whether anybody uses {NAME} …" in lines
        assert lines[lines.index("What may go now, in this order:") + 1].startswith("1. ")
        assert '  SESSIONS_UNIFIED["MANAGER"]' in lines
        assert "  manage.py migrate legacy_adapters zero" in lines
        told = "\n".join(lines)
        assert [name for name in NAMING_THE_APP if name not in told] == []
        assert is_there()

    @pytest.mark.parametrize("in_the_way", ["stages", "marks", "unseen"])
    def test_while_the_old_stores_are_needed_nothing_is_done(
        self, in_the_way: str, settings: SettingsWrapper, tmp_path: Path
    ) -> None:
        if in_the_way == "stages":
            to_stage("ramp_down", Endpoint.SYNC)
        elif in_the_way == "marks":
            mark("ws_mwo5wwds_2")
        else:
            settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0}

        said = refused("retire", "--archive", str(tmp_path / "old.csv.gz"))

        assert f"[{in_the_way}]" in said
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("statement", "counter"),
        [
            (f"SELECT count(*) FROM {NAME}", "seq_scan"),
            (f"UPDATE {NAME} SET email = email", "n_tup_upd"),
            (f"INSERT INTO {NAME} (id) VALUES ('ws_new_1')", "n_tup_ins"),
        ],
    )
    def test_whoever_uses_the_table_is_noticed(
        self, statement: str, counter: str, tmp_path: Path
    ) -> None:
        def use(_: float) -> None:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            flush_counters()

        said = refused("retire", "--archive", str(tmp_path / "old.csv.gz"), sleep=use)

        assert f"{NAME} is still in use" in said
        assert f"  {counter}: " in said
        assert list(tmp_path.iterdir()) == []

    def test_an_open_transaction_on_the_table_is_noticed(self) -> None:
        other = connections.create_connection("default")
        try:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {NAME} IN ACCESS SHARE MODE")

            said = refused("retire")
        finally:
            other.close()

        assert "idle in transaction" in said

    def test_the_archive_has_every_row_says_so_and_is_private(self, tmp_path: Path) -> None:
        path = tmp_path / "old.csv.gz"

        lines = run("retire", "--archive", str(path))

        said = json.loads((tmp_path / "old.csv.gz.json").read_text())
        assert said["rows"] == 2
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert any(said["sha256"] in line for line in lines)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with gzip.open(path, "rt", newline="") as text:
            found = list(csv.DictReader(text))
        assert [each["email"] for each in found] == ["ana@example.org", 'o"b,r\n@example.org']
        assert is_there()

    def test_an_archive_is_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "old.csv.gz"
        path.write_text("mine")

        assert "is there already" in refused("retire", "--archive", str(path))
        dropping = ("--drop", "--confirm", NAME)
        assert "no whole archive" in refused("retire", "--archive", str(path), *dropping)
        assert path.read_text() == "mine"
        assert is_there()

        beside = tmp_path / "other.csv.gz.json"
        beside.write_text("mine too")
        assert "is there already" in refused("retire", "--archive", str(beside)[: -len(".json")])
        assert beside.read_text() == "mine too"
        assert sorted(tmp_path.iterdir()) == [path, beside]

    def test_an_archive_can_be_brought_back(self, tmp_path: Path) -> None:
        path = tmp_path / "old.csv.gz"
        before = table().table.fetch("SELECT row_to_json(t)::text FROM {} AS t ORDER BY id")
        run("retire", "--archive", str(path), "--drop", "--confirm", NAME)
        assert not is_there()

        create_table(table().table)
        statement = f"COPY {NAME} FROM STDIN (FORMAT csv, HEADER)"
        with (
            gzip.open(path, "rb") as packed,
            connection.cursor() as cursor,
            cursor.cursor.copy(statement) as copy,
        ):
            shutil.copyfileobj(packed, copy)

        after = table().table.fetch("SELECT row_to_json(t)::text FROM {} AS t ORDER BY id")
        assert after == before

    @pytest.mark.parametrize(
        "wish",
        [
            ["--drop", "--confirm", NAME],
            ["--drop", "--archive", "FILE"],
            ["--drop", "--archive", "FILE", "--confirm", "funnel_session"],
        ],
    )
    def test_a_drop_needs_an_archive_and_the_tables_name(
        self, wish: list[str], tmp_path: Path
    ) -> None:
        wish = [str(tmp_path / "old.csv.gz") if each == "FILE" else each for each in wish]

        assert "--drop" in refused("retire", *wish)
        assert is_there()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "change",
        [f"DELETE FROM {NAME} WHERE id = 'ws_mwo5wwds_2'", f"UPDATE {NAME} SET email = ''"],
    )
    def test_a_table_that_says_something_else_than_its_archive_stays(
        self, change: str, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "old.csv.gz")
        run("retire", "--archive", path)
        with connection.cursor() as cursor:
            cursor.execute(change)

        said = refused("retire", "--archive", path, "--drop", "--confirm", NAME)

        assert "archive it again" in said
        assert is_there()

    @pytest.mark.parametrize("harm", ["changed", "of another table", "cut short"])
    def test_an_archive_that_is_not_what_it_was_allows_no_drop(
        self, harm: str, tmp_path: Path
    ) -> None:
        path, beside = tmp_path / "old.csv.gz", tmp_path / "old.csv.gz.json"
        run("retire", "--archive", str(path))
        if harm == "changed":
            path.write_bytes(path.read_bytes() + b"\0")
        elif harm == "cut short":
            beside.unlink()
        else:
            beside.write_text(beside.read_text().replace(NAME, "another"))

        refused("retire", "--archive", str(path), "--drop", "--confirm", NAME)

        assert is_there()

    def test_an_archive_that_fails_leaves_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "cannot be written" in refused("retire", "--archive", str(tmp_path / "no" / "a.gz"))

        monkeypatch.setattr(archiving, "_COPY", "COPY (SELECT 1/0 FROM {} ORDER BY {id}) TO STDOUT")
        refused("retire", "--archive", str(tmp_path / "old.csv.gz"), code=2)

        assert list(tmp_path.iterdir()) == []

    def test_counters_that_were_reset_prove_nothing(self) -> None:
        def reset(_: float) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_stat_reset_single_table_counters('{NAME}'::regclass)")

        assert "reset meanwhile" in refused("retire", sleep=reset)

    def test_a_dry_run_writes_and_drops_nothing(self, tmp_path: Path) -> None:
        path = str(tmp_path / "old.csv.gz")

        lines = run("retire", "--archive", path, "--drop", "--confirm", NAME, "--dry-run")

        assert f"Would archive 2 rows of {NAME} to {path}." in lines
        assert f"Would drop the table {NAME}." in lines
        assert is_there()
        assert list(tmp_path.iterdir()) == []

        run("retire", "--archive", path)
        lines = run("retire", "--archive", path, "--drop", "--confirm", NAME, "--dry-run")
        assert f"Would drop the table {NAME}." in lines
        assert is_there()

    def test_a_table_of_this_project_is_never_dropped(
        self, settings: SettingsWrapper, tmp_path: Path
    ) -> None:
        own = "sessions_unified_unifiedsession"
        entry = settings.LEGACY_ADAPTERS["database"] | {"TABLE": own}
        settings.LEGACY_ADAPTERS = {"database": entry}
        path = str(tmp_path / "old.csv.gz")

        said = refused("retire", "--archive", path, "--drop", "--confirm", own)

        assert "a table of this project" in said

    def test_where_it_is_gone_it_says_what_is_left(self, tmp_path: Path) -> None:
        path = str(tmp_path / "old.csv.gz")
        run("retire", "--archive", path, "--drop", "--confirm", NAME)

        assert f"There is no table {NAME} any more." in run("retire")

    def test_json(self) -> None:
        (line,) = run("retire", "--json")

        found = json.loads(line)
        assert found["obstacles"] == []
        assert found["activity"]["users"] == []
        assert len(found["steps"]) == 4

"""``verify_sessions``, as an operator runs it: what it compares, what it says, how it ends."""

from __future__ import annotations

import json
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection
from django.utils import timezone

from legacy_adapters.conf import get_adapter
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.database.store import Table
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.models import ImportRecord, SessionConflict
from legacy_adapters.testing import InMemoryAdapter
from legacy_adapters.verifying import Kind, Scope, run, verify
from sessions_unified.importing import import_sessions
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.legacy import create_table, paid_row, put, row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from legacy_adapters.base import LegacyRecord
    from legacy_adapters.verifying import Report

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush", "shop")]

TABLE = Table(alias="default", name="funnel_sessions")
FIRST, SECOND, PAID = "ws_mwo5wwds_1", "ws_mwo5wwds_2", "ws_mwo5wwds_3"
NEW = "ws_mwo5wwds_9"


def compare(*arguments: str) -> list[str]:
    out = StringIO()
    call_command(
        "verify_sessions", "--source", "database", "--recheck", "0", *arguments, stdout=out
    )
    return out.getvalue().splitlines()


def refuse(*arguments: str) -> tuple[list[str], CommandError]:
    """Return what it printed, and what it ended with, where it must not end well."""
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(
            "verify_sessions", "--source", "database", "--recheck", "0", *arguments, stdout=out
        )
    return out.getvalue().splitlines(), raised.value


def bring_over() -> None:
    """Import the whole table: the core's half of it, and what the backfill remembers."""
    adapter = get_adapter("database")
    records = [record for batch in adapter.scan() for record in batch.records]
    sessions = [adapter.to_unified(record) for record in records]
    import_sessions(get_tiers(), sessions, source="database")
    ImportRecord.objects.bulk_create(
        ImportRecord(
            source="database",
            session_id=session.id,
            digest=record.digest,
            unified_version=1,
            imported_at=timezone.now(),
        )
        for record, session in zip(records, sessions, strict=True)
    )


def remove(*ids: str) -> None:
    """Delete rows, as the old shop would."""
    with connection.cursor() as cursor:
        cursor.execute(TABLE.statement("DELETE FROM {} WHERE id = ANY(%s)"), [list(ids)])


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of both sides with the transaction that wrote it."""
    tables = connection.introspection.table_names()
    names = [each for each in tables if each.startswith(("sessions_unified_", "legacy_adapters_"))]
    with connection.cursor() as cursor:
        found = {}
        for name in [*names, TABLE.name]:
            cursor.execute(f'SELECT t.xmin::text, t.* FROM "{name}" AS t ORDER BY t::text')
            found[name] = cursor.fetchall()
    return found


@pytest.fixture
def shop() -> None:
    """Make a legacy shop with three sessions, all of them here."""
    create_table(TABLE)
    put(TABLE, row(id=FIRST), row(id=SECOND, email="bo@example.org"), paid_row(id=PAID))
    bring_over()


class TestDecided:
    """What a person has decided to keep keeps no script from going on."""

    @pytest.fixture
    def conflict(self, shop: None) -> SessionConflict:
        UnifiedSession.objects.filter(pk=FIRST).update(email="kept@example.org")
        record = get_adapter("database").peek(FIRST)
        assert record is not None
        return SessionConflict.objects.create(
            source="database",
            session_id=FIRST,
            digest=record.digest,
            fields=["email"],
            state="kept",
            seen_at=timezone.now(),
        )

    def test_it_is_counted_apart(self, conflict: SessionConflict) -> None:
        lines = compare()

        assert "  1 differ, as a person has decided" in lines
        assert "Both sides agree." in lines

    @pytest.mark.parametrize(
        "change",
        [{"state": "open"}, {"digest": "another"}, {"fields": ["amount"]}, {"source": "other"}],
    )
    def test_but_not_for_another_record_or_field(
        self, conflict: SessionConflict, change: dict[str, Any]
    ) -> None:
        SessionConflict.objects.update(**change)

        lines, _ = refuse()

        assert "  1 differ" in lines


class TestAgreement:
    def test_after_an_import_all_agree(self) -> None:
        assert compare() == [
            "Compared 3 records of database:",
            "  3 say the same",
            "Both sides agree.",
        ]

    def test_in_small_batches_too(self) -> None:
        assert compare("--batch-size", "1")[1] == "  3 say the same"

    def test_what_a_legacy_table_cannot_hold_is_not_compared(self) -> None:
        UnifiedSessionManager().update_session(FIRST, {"metadata": {"gift": True}})

        assert compare()[1] == "  3 say the same"

    def test_a_session_settled_past_its_end_agrees(self) -> None:
        put(TABLE, row(id=FIRST, expires_at="2026-11-20T00:00:00+00:00"))
        UnifiedSession.objects.filter(pk=FIRST).update(status="expired")

        assert compare()[1] == "  3 say the same"

    def test_deleted_here_is_told_and_fine(self) -> None:
        UnifiedSessionManager().delete_session(FIRST)

        assert compare() == [
            "Compared 3 records of database:",
            "  2 say the same",
            "  1 deleted here, and stay so",
            "Both sides agree.",
        ]

    def test_unreadable_ones_are_named_with_their_reason(self) -> None:
        put(TABLE, row(id=NEW, status="paused"))

        lines = compare()

        assert "  1 unreadable: no session can be made of them" in lines
        assert any(f"  {NEW}: status 'paused' is none of" in line for line in lines)
        assert lines[-1] == "Both sides agree."

    def test_an_empty_store(self) -> None:
        ImportRecord.objects.all().delete()
        remove(FIRST, SECOND, PAID)

        assert compare() == ["Nothing to compare: database has no such records."]

    def test_a_key_that_no_database_could_hold(self) -> None:
        ImportRecord.objects.all().delete()
        adapter = InMemoryAdapter(source="database", rows={"a\0b": row(id="a\0b")})

        report = verify(get_tiers(), adapter, Scope(), recheck_seconds=0)

        assert report.counts == {Kind.UNREADABLE: 1}


class TestDisagreement:
    def test_a_difference_is_named_with_its_field_and_masked(self) -> None:
        changed = row(id=FIRST, email="canary@example.net", customer_info={"firstName": "Canary"})
        put(TABLE, changed | {"amount": "99.00", "vault_id": "vault-canary-1234"})

        lines, ended = refuse()

        assert ended.returncode == 1
        assert "  1 differ" in lines
        (line,) = [line for line in lines if FIRST in line]
        assert "email a•••@example.org → c•••@example.net" in line
        assert "amount 12.50 → 99.00" in line
        assert "customer firstName → firstName" in line
        assert "anary" not in "".join(lines)
        assert "inspect_session ID shows both sides" in str(ended)

    def test_a_missing_one(self) -> None:
        put(TABLE, row(id=NEW))

        lines, ended = refuse()

        assert lines[:4] == [
            "Compared 4 records of database:",
            "  3 say the same",
            "  1 missing here",
            "Missing here:",
        ]
        assert lines[4] == f"  {NEW}"
        assert ended.returncode == 1
        assert "backfill_sessions --source database" in str(ended)

    def test_what_the_old_shop_deleted_is_found_by_a_full_run(self) -> None:
        remove(FIRST, PAID)

        lines, ended = refuse("--batch-size", "1")

        assert lines[:2] == ["Compared 1 records of database:", "  1 say the same"]
        assert lines[-3:] == ["Gone there:", f"  {FIRST}", f"  {PAID}"]
        assert ended.returncode == 1

    def test_a_cleanups_worth_of_them_waits_together(self) -> None:
        remove(FIRST, SECOND, PAID)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            time.sleep(seconds)

        report = verify(
            get_tiers(),
            get_adapter("database"),
            Scope(batch_size=1),
            recheck_seconds=0.3,
            sleep=sleep,
        )

        assert report.counts == {Kind.GONE: 3}
        assert sum(slept) < 0.6

    def test_its_neighbours_in_the_sums_are_not_taken_for_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("legacy_adapters.verifying.gone._BUCKETS", 1)
        remove(FIRST)

        lines, _ = refuse()

        assert lines[-2:] == ["Gone there:", f"  {FIRST}"]

    def test_fields_that_the_store_has_no_place_for_are_not_compared(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(DatabaseAdapter, "fields", frozenset({"id", "email"}))
        put(TABLE, row(id=FIRST, amount="99.00"))

        assert compare()[-1] == "Both sides agree."

    def test_deleted_on_both_sides_is_no_disagreement(self) -> None:
        remove(FIRST)
        UnifiedSessionManager().delete_session(FIRST)

        assert compare()[-1] == "Both sides agree."

    def test_a_session_made_here_is_not_gone_there(self) -> None:
        UnifiedSessionManager().create_session(email="new@example.org")

        assert compare()[-1] == "Both sides agree."

    def test_one_from_another_store_is_not_looked_for(self) -> None:
        ImportRecord.objects.filter(session_id=FIRST).update(source="cookie")
        remove(FIRST)

        assert compare()[-1] == "Both sides agree."

    def test_the_first_are_named_and_the_rest_is_counted(self) -> None:
        put(TABLE, *(row(id=f"ws_mwo5wwds_z{number}") for number in range(5)))

        lines, _ = refuse("--show", "2")

        assert "  5 missing here" in lines
        assert lines[-3:] == [
            "  ws_mwo5wwds_z0",
            "  ws_mwo5wwds_z1",
            "  … and 3 more (--show names more of them)",
        ]

    def test_json_for_scripts(self) -> None:
        put(TABLE, row(id=FIRST, amount="99.00"), row(id=NEW))

        lines, ended = refuse("--json")

        assert ended.returncode == 1
        found = json.loads(lines[-1])
        assert {
            name: found[name] for name in ("source", "sample", "seed", "since", "bothAgree")
        } == {
            "source": "database",
            "sample": None,
            "seed": None,
            "since": None,
            "bothAgree": False,
        }
        assert [found[str(kind)] for kind in Kind] == [2, 0, 0, 1, 1, 0, 0, 0]
        assert found["read"] == 4
        by_id = {each["id"]: each for each in found["findings"]}
        assert by_id[NEW]["kind"] == "missing"
        assert by_id[FIRST]["fields"] == ["amount"]
        assert by_id[FIRST]["evidence"][0]["legacy"] == {"database": "99.00"}


class TestReadsOnly:
    def test_no_row_of_either_side_changes(self) -> None:
        put(TABLE, row(id=FIRST, expires_at="2026-11-20T00:00:00+00:00"), row(id=NEW))
        remove(SECOND)
        before = everything()

        refuse()
        refuse("--sample", "2", "--seed", "1")

        assert everything() == before
        assert len(before) > 5


class TestSecondLook:
    def run(self, monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> Report:
        """Verify with a pause in which the other side of a write happens."""
        look_at = run.look_at
        looks: list[int] = []

        def look(*arguments: Any) -> Iterable[Any]:
            found = list(look_at(*arguments))
            looks.append(len(found))
            if len(looks) == 1:
                meanwhile()
            return found

        monkeypatch.setattr(run, "look_at", look)
        return verify(get_tiers(), get_adapter("database"), Scope(), recheck_seconds=0)

    def test_a_write_that_was_under_way_is_transient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(TABLE, row(id=FIRST, email="zed@example.org"))

        report = self.run(
            monkeypatch,
            lambda: UnifiedSession.objects.filter(pk=FIRST).update(email="zed@example.org"),
        )

        assert report.counts == {Kind.AGREES: 2, Kind.TRANSIENT: 1}
        assert report.disagreements == 0

    def test_a_record_that_goes_meanwhile_is_gone_and_counted_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(TABLE, row(id=FIRST, email="zed@example.org"))

        report = self.run(monkeypatch, lambda: remove(FIRST))

        assert report.counts == {Kind.AGREES: 2, Kind.TRANSIENT: 1, Kind.GONE: 1}
        assert report.read == 3

    def test_one_that_comes_over_meanwhile_is_transient(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(TABLE, row(id=NEW))
        adapter = get_adapter("database")

        def come_over() -> None:
            record = adapter.peek(NEW)
            assert record is not None
            import_sessions(get_tiers(), [adapter.to_unified(record)], source="database")

        assert self.run(monkeypatch, come_over).counts == {Kind.AGREES: 3, Kind.TRANSIENT: 1}

    def test_the_pause_is_as_long_as_asked_for(self) -> None:
        put(TABLE, row(id=NEW))
        slept: list[float] = []

        verify(
            get_tiers(),
            get_adapter("database"),
            Scope(),
            recheck_seconds=30,
            sleep=slept.append,
        )

        assert 29 < max(slept) <= 30


class TestParts:
    def test_a_sample_names_its_seed_and_what_it_cannot_find(self) -> None:
        remove(PAID)

        lines = compare("--sample", "10", "--seed", "4")

        assert lines == [
            "Compared 2 records of database, a sample (--seed 4 draws it again):",
            "  2 say the same",
            "Both sides agree.",
            "What the old shop has deleted is found by a run over all records only.",
        ]

    def test_a_sample_reads_a_part_of_a_larger_table(self) -> None:
        put(TABLE, *(row(id=f"ws_mwo5wwds_z{number:03}") for number in range(300)))

        lines, ended = refuse("--sample", "30", "--json")

        found = json.loads(lines[-1])
        assert 20 <= found["read"] <= 30
        assert found["missing"] >= found["read"] - 3
        assert ended.returncode == 1

    def test_a_sample_without_a_seed_has_one(self) -> None:
        assert json.loads(compare("--sample", "10", "--json")[-1])["seed"] >= 0

    def test_since_is_handed_to_the_store_and_looks_for_nothing_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        scan = DatabaseAdapter.scan

        def listen(self: DatabaseAdapter, *arguments: Any, **options: Any) -> Any:
            asked.append(options["since"])
            return scan(self, *arguments, **options)

        monkeypatch.setattr(DatabaseAdapter, "scan", listen)
        remove(PAID)

        lines = compare("--since", "2026-11-01")

        assert lines[-2:] == [
            "Both sides agree.",
            "What the old shop has deleted is found by a run over all records only.",
        ]
        assert [each.isoformat() for each in asked] == ["2026-11-01T00:00:00+00:00"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("fails", "said"),
        [
            (SourceUnavailableError("The table cannot be read."), "The table cannot be read."),
            (OperationalError("gone away"), "gone away"),
            (ProgrammingError("no such table"), "no such table"),
            (KeyboardInterrupt(), "Stopped before the end."),
        ],
    )
    def test_what_ends_it_early_is_told_apart_from_a_difference(
        self, monkeypatch: pytest.MonkeyPatch, fails: BaseException, said: str
    ) -> None:
        def fail(*_: Any, **__: Any) -> Iterable[tuple[LegacyRecord, ...]]:
            raise fails

        monkeypatch.setattr(DatabaseAdapter, "scan", fail)

        lines, ended = refuse()

        assert ended.returncode == 2
        assert str(ended).startswith(said)
        assert "not known whether both sides agree; nothing was changed" in str(ended)
        assert lines == []

    def test_an_unknown_store(self) -> None:
        with pytest.raises(CommandError, match="no legacy store 'old'") as raised:
            call_command("verify_sessions", "--source", "old")

        assert raised.value.returncode == 2

    def test_a_table_that_is_not_there(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE funnel_sessions")

        _, ended = refuse()

        assert ended.returncode == 2
        assert "There is no table funnel_sessions" in str(ended)

    def test_a_store_that_cannot_be_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DatabaseAdapter, "supports_scan", False)

        _, ended = refuse()

        assert ended.returncode == 2
        assert "cannot be listed" in str(ended)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--sample", "0"),
            ("--show", "-1"),
            ("--recheck", "-1"),
            ("--since", "yesterday"),
            ("--since", "2026-13-40"),
            ("--sample", "5", "--since", "2026-11-21"),
        ],
    )
    def test_absurd_arguments(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(CommandError, match=arguments[0]):
            call_command("verify_sessions", "--source", "database", *arguments)

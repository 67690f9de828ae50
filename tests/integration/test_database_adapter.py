"""The adapter of a live table: beside a shop that writes it, on a database that may refuse."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.db import Error, connection, transaction
from hypothesis import HealthCheck, example, given, settings

from legacy_adapters.base import LegacyRecord
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import SourceUnavailableError, UnwritableRecordError
from sessions_unified.snapshot import freeze
from tests.json_values import json_values
from tests.legacy import COLUMNS, create_table, paid_row, put, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.snapshot import SessionSnapshot

ID = "ws_mwo5wwds_2"
IDS = [f"ws_mwo5wwds_{number:02}" for number in range(12)]


def make(**options: Any) -> DatabaseAdapter:
    return DatabaseAdapter(source="database", alias="default", **options)


def run(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)


def value_of(statement: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchone()[0]


def peeked(adapter: DatabaseAdapter, session_id: str = ID) -> LegacyRecord:
    record = adapter.peek(session_id)
    assert record is not None
    return record


def session_of(adapter: DatabaseAdapter) -> SessionSnapshot:
    return adapter.to_unified(peeked(adapter))


@pytest.fixture
def adapter(db: None) -> DatabaseAdapter:
    adapter = make()
    create_table(adapter.table, extra=", note jsonb")
    return adapter


class TestScanInAutocommit:
    """As commands and workers scan: every batch is a transaction of its own, on the same alias."""

    @pytest.fixture
    def full(self, transactional_db: None) -> Iterator[DatabaseAdapter]:
        adapter = make(cursor_rows=5)
        create_table(adapter.table)
        put(adapter.table, *(row(id=session_id) for session_id in IDS))
        yield adapter
        run("DROP TABLE funnel_sessions")

    def cursors(self) -> int:
        return int(value_of("SELECT count(*) FROM pg_cursors WHERE is_holdable"))

    @pytest.mark.parametrize("is_rolled_back", [False, True])
    def test_the_callers_transactions_do_not_end_it(
        self, full: DatabaseAdapter, is_rolled_back: bool
    ) -> None:
        found: list[str | None] = []
        cursors = []
        for batch in full.scan(batch_size=2):
            with transaction.atomic():
                run("UPDATE funnel_sessions SET status = 'processing'")
                transaction.set_rollback(is_rolled_back)
            found += [record.id for record in batch.records]
            cursors.append(self.cursors())

        assert found == IDS
        assert set(cursors) == {1}
        assert self.cursors() == 0

    def test_no_cursor_serves_more_rows_than_it_may(self, full: DatabaseAdapter) -> None:
        declared: set[str] = set()
        for _ in full.scan(batch_size=2):
            declared.add(value_of("SELECT min(name) FROM pg_cursors"))

        assert len(declared) == 3  # of four rows each

    def test_what_comes_behind_the_last_row_meanwhile_is_found(self, full: DatabaseAdapter) -> None:
        scan = full.scan(batch_size=500)
        first = next(scan)

        put(full.table, row(id="ws_z_a"))

        assert first.cursor == IDS[-1] or len(first.records) == len(IDS)
        assert [record.id for batch in scan for record in batch.records] == ["ws_z_a"]

    def test_a_reader_that_gives_up_leaves_no_cursor(self, full: DatabaseAdapter) -> None:
        with closing(full.scan(batch_size=2)) as scan:
            next(scan)

        assert self.cursors() == 0

    def test_it_goes_on_over_another_connection(self, full: DatabaseAdapter) -> None:
        found: list[str | None] = []
        for batch in full.scan(batch_size=2):
            found += [record.id for record in batch.records]
            connection.close()

        assert found == IDS

    def test_it_may_be_read_on_within_a_transaction(self, full: DatabaseAdapter) -> None:
        scan = full.scan(batch_size=2)
        found = [record.id for record in next(scan).records]

        with transaction.atomic():
            found += [record.id for record in next(scan).records]
            found += [record.id for record in next(scan).records]
        found += [record.id for batch in scan for record in batch.records]

        assert found == IDS

    def test_behind_a_transaction_pooler_there_is_no_cursor(
        self, full: DatabaseAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
        found: list[str | None] = []
        for batch in full.scan(batch_size=2):
            found += [record.id for record in batch.records]
            assert self.cursors() == 0

        assert found == IDS

    def test_a_scan_begun_in_a_transaction_goes_on_after_it(self, full: DatabaseAdapter) -> None:
        scan = full.scan(batch_size=2)
        with transaction.atomic():
            found = [record.id for record in next(scan).records]
            assert self.cursors() == 0

        found += [record.id for batch in scan for record in batch.records]

        assert found == IDS

    def test_a_locked_table_holds_nobody_longer_than_it_may(self, full: DatabaseAdapter) -> None:
        impatient = make(timeout_seconds=0.3)
        record = peeked(impatient, IDS[0])
        before = value_of("SHOW statement_timeout")
        began = time.monotonic()
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE funnel_sessions")

            with pytest.raises(SourceUnavailableError, match="statement timeout"):
                impatient.peek(IDS[0])
            with pytest.raises(SourceUnavailableError, match=r"cannot be written: .* timeout"):
                impatient.save(record)
            with pytest.raises(SourceUnavailableError, match="statement timeout"):
                impatient.delete(IDS[0])
        assert time.monotonic() - began < 5
        assert value_of("SHOW statement_timeout") == before
        assert impatient.peek(IDS[0]) is not None


def test_the_callers_own_limit_is_left_as_it_was(adapter: DatabaseAdapter) -> None:
    run("SET LOCAL statement_timeout = '77s'")

    adapter.peek(ID)

    assert value_of("SHOW statement_timeout") == "77s"


class TestSave:
    def test_only_columns_of_the_mapping_are_changed(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row(note={"by": "the shop"}))
        record = adapter.from_unified(session_of(adapter), before=peeked(adapter))
        run('UPDATE funnel_sessions SET note = \'{"by": "the shop, later"}\'')

        adapter.save(record)

        assert peeked(adapter).data["note"] == {"by": "the shop, later"}

    def test_columns_that_are_not_named_stay(self, adapter: DatabaseAdapter) -> None:
        run("ALTER TABLE funnel_sessions ALTER email SET NOT NULL")
        put(adapter.table, paid_row())

        adapter.save(LegacyRecord.of(ID, {"status": "completed"}))

        data = peeked(adapter).data
        assert (data["status"], data["email"]) == ("completed", "ana@example.org")
        assert data["transaction_id"] == "3029929089"

    def test_an_update_says_when(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row())

        adapter.save(adapter.from_unified(session_of(adapter), before=peeked(adapter)))

        age = datetime.now(UTC) - session_of(adapter).updated_at
        assert abs(age) < timedelta(minutes=1)

    def test_a_new_row_keeps_its_times_and_gets_the_defaults(
        self, adapter: DatabaseAdapter
    ) -> None:
        put(adapter.table, row())
        session = session_of(adapter)
        run("ALTER TABLE funnel_sessions ALTER vault_id SET DEFAULT 'none yet'")
        run("DELETE FROM funnel_sessions")

        adapter.save(adapter.from_unified(session))

        assert session_of(adapter) == msgspec.structs.replace(session, vault_id="none yet")

    def test_columns_that_are_no_more_or_fill_themselves_are_left_out(
        self, adapter: DatabaseAdapter
    ) -> None:
        run("ALTER TABLE funnel_sessions ADD loud text GENERATED ALWAYS AS (upper(email)) STORED")
        put(adapter.table, row(note={"a": 1}))
        session = session_of(adapter)
        run("DELETE FROM funnel_sessions")
        run("ALTER TABLE funnel_sessions DROP note")

        adapter.save(adapter.from_unified(session))

        assert peeked(adapter).data["loud"] == "ANA@EXAMPLE.ORG"

    @pytest.mark.parametrize("offers", ["text[]", "jsonb", "json", "text"])
    def test_any_type_of_column_is_written_as_it_is(self, db: None, offers: str) -> None:
        adapter = make()
        create_table(adapter.table, offers=offers)
        run("ALTER TABLE funnel_sessions ALTER products TYPE text")
        run("ALTER TABLE funnel_sessions ALTER customer_info TYPE json")
        run("ALTER TABLE funnel_sessions ALTER amount TYPE double precision")
        run("ALTER TABLE funnel_sessions ALTER expires_at TYPE timestamp")
        none: Any = "[]" if offers == "text" else []
        products = '[{"id": "A", "price":  "89"}]'
        put(adapter.table, row(upsells_accepted=none, upsells_declined=none, products=products))
        before = peeked(adapter)
        session = adapter.to_unified(before)
        changed = msgspec.structs.replace(
            session,
            upsells=msgspec.structs.replace(session.upsells, accepted=("upsell-1-serum", "ü,\"'")),
            amount=Decimal("89.30"),
        )

        adapter.save(adapter.from_unified(changed, before=before))

        found = session_of(adapter)
        assert found.upsells.accepted == ("upsell-1-serum", "ü,\"'")
        assert (found.amount, found.expires_at) == (Decimal("89.30"), session.expires_at)
        assert peeked(adapter).data["products"] == products
        assert adapter.table.columns()["upsells_declined"] == offers

    def test_a_column_that_changes_its_type_needs_no_restart(
        self, adapter: DatabaseAdapter
    ) -> None:
        put(adapter.table, row())
        session = session_of(adapter)
        upsells = msgspec.structs.replace(session.upsells, declined=("upsell-1-serum",))
        changed = msgspec.structs.replace(session, upsells=upsells)
        adapter.save(adapter.from_unified(session))
        run("ALTER TABLE funnel_sessions ALTER upsells_declined TYPE jsonb USING '[]'")

        adapter.save(adapter.from_unified(changed))

        assert session_of(adapter).upsells == upsells


class TestRefusals:
    def refused(self, adapter: DatabaseAdapter, session: SessionSnapshot) -> str:
        with pytest.raises(UnwritableRecordError) as caught:
            adapter.save(adapter.from_unified(session))
        assert "zoe" not in str(caught.value)
        assert caught.value.__cause__ is None
        return caught.value.reason

    @pytest.fixture
    def session(self, adapter: DatabaseAdapter) -> SessionSnapshot:
        put(adapter.table, row(email="zoe@example.org"))
        return session_of(adapter)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ("ALTER email TYPE varchar(3) USING 'x'", "value too long for type character varying"),
            ("ADD CHECK (email NOT LIKE 'zoe%') NOT VALID", "violates check constraint"),
            ("ADD must text NOT NULL", "null value in column"),
            ("ALTER email TYPE integer USING 1", "invalid input syntax for type integer"),
            ("ALTER amount TYPE numeric(3, 2) USING 1", "numeric field overflow"),
        ],
    )
    def test_the_database_says_why_and_quotes_nothing(
        self, adapter: DatabaseAdapter, session: SessionSnapshot, change: str, why: str
    ) -> None:
        run("DELETE FROM funnel_sessions" if "must" in change else "SELECT 1")
        run(f"ALTER TABLE funnel_sessions {change}")

        assert why in self.refused(adapter, session)
        assert value_of("SELECT 1") == 1  # the caller's transaction goes on

    def test_a_row_in_the_way_is_a_refusal(
        self, adapter: DatabaseAdapter, session: SessionSnapshot
    ) -> None:
        run("ALTER TABLE funnel_sessions ADD UNIQUE (email)")

        reason = self.refused(adapter, msgspec.structs.replace(session, id="ws_1_b"))

        assert "violates unique constraint" in reason

    def test_a_trigger_s_own_words_are_not_told(
        self, adapter: DatabaseAdapter, session: SessionSnapshot
    ) -> None:
        run(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'not %', NEW.email; END$$"
        )
        run("CREATE TRIGGER no BEFORE UPDATE ON funnel_sessions EXECUTE FUNCTION no()")
        run("DROP TRIGGER no ON funnel_sessions")
        run("CREATE TRIGGER no BEFORE UPDATE ON funnel_sessions FOR EACH ROW EXECUTE FUNCTION no()")

        assert self.refused(adapter, session) == (
            "the database refuses it: a trigger of the table refuses it (P0001)"
        )

    def test_without_the_right_to_write_it_says_so(
        self, adapter: DatabaseAdapter, session: SessionSnapshot
    ) -> None:
        run("CREATE ROLE reader; GRANT SELECT, UPDATE ON funnel_sessions TO reader")
        run("SET LOCAL ROLE reader")

        assert adapter.health().is_healthy
        with pytest.raises(SourceUnavailableError, match="cannot be written: permission denied"):
            adapter.delete(ID)

    def test_a_missing_column_is_the_table_s_fault(
        self, adapter: DatabaseAdapter, session: SessionSnapshot
    ) -> None:
        run("ALTER TABLE funnel_sessions DROP amount")

        with pytest.raises(SourceUnavailableError, match=r"column .*amount.* does not exist"):
            adapter.save(adapter.from_unified(session))

    @pytest.mark.parametrize("email", [None, "", "no address"])
    def test_what_would_not_be_read_again_is_not_written(
        self, adapter: DatabaseAdapter, session: SessionSnapshot, email: str | None
    ) -> None:
        with pytest.raises(UnwritableRecordError, match=r"^email "):
            adapter.from_unified(msgspec.structs.replace(session, email=email))


class TestPaymentToken:
    def saved(self, adapter: DatabaseAdapter, **changes: Any) -> Any:
        put(adapter.table, row(payment_token="tok_old"))
        before = peeked(adapter)
        session = msgspec.structs.replace(adapter.to_unified(before), **changes)
        return adapter.from_unified(session, before=before).data["payment_token"]

    def test_past_its_use_the_column_stays_as_the_old_code_left_it(
        self, adapter: DatabaseAdapter
    ) -> None:
        assert self.saved(adapter, status="processing", payment_token=None) == "tok_old"

    def test_before_it_is_what_the_session_says(self, adapter: DatabaseAdapter) -> None:
        assert self.saved(adapter, payment_token="tok_new") == "tok_new"
        assert self.saved(adapter, payment_token=None) is None


class TestColumnsOfOtherNames:
    NAMES = {
        "id": "Session %s",
        "status": "state",
        "customer_info": "customer",
        "updated_at": "changed",
        "expires_at": "until",
    }

    @pytest.fixture
    def renamed(self, db: None) -> DatabaseAdapter:
        adapter = make(columns=self.NAMES)
        columns = COLUMNS.format(offers="text[]")
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE funnel_sessions ({columns})")
            for ours, theirs in self.NAMES.items():
                cursor.execute(f'ALTER TABLE funnel_sessions RENAME {ours} TO "{theirs}"')
            cursor.execute("ALTER TABLE funnel_sessions ADD status integer")
        return adapter

    def test_they_are_read_and_written(self, renamed: DatabaseAdapter) -> None:
        theirs = {self.NAMES.get(name, name): value for name, value in row().items()}
        put_by(renamed, {**theirs, "status": 7})
        before = peeked(renamed)
        session = renamed.to_unified(before)

        renamed.save(renamed.from_unified(session, before=before))
        renamed.save(
            renamed.from_unified(msgspec.structs.replace(session, id="ws_1_b", status="failed"))
        )

        assert renamed.health().is_healthy
        assert (session.status, before.data["state"]) == ("pending", "pending")
        assert session.metadata["legacy"]["database"]["columns"] == {"the shop's own status": 7}
        data = peeked(renamed, "ws_1_b").data
        assert (data["state"], data["status"]) == ("failed", 7)
        assert [record.id for batch in renamed.scan() for record in batch.records] == [
            "ws_1_b",
            ID,
        ]
        assert renamed.boundaries(2) == ("ws_1_b",)
        assert renamed.count(since=datetime(2027, 1, 1, tzinfo=UTC)) in {0, 1, 2}

    def test_an_expired_row_and_health(self, renamed: DatabaseAdapter) -> None:
        past = row(expires_at="2020-01-01T00:00:00+00:00")
        put_by(renamed, {self.NAMES.get(name, name): value for name, value in past.items()})

        assert renamed.load(ID) is None

        assert peeked(renamed).data["state"] == "expired"

    @pytest.mark.parametrize("columns", [{"stats": "state"}, {"status": "email"}])
    def test_a_wrong_option_is_refused(self, columns: dict[str, str]) -> None:
        with pytest.raises(TypeError, match="columns names"):
            make(columns=columns)


def put_by(adapter: DatabaseAdapter, fields: dict[str, Any]) -> None:
    """Insert a row of columns by the shop's names."""
    name = adapter.table.quoted
    run(
        f"INSERT INTO {name} SELECT * FROM json_populate_record(NULL::{name}, %s)",
        json.dumps(fields),
    )


class ExtendedAdapter(DatabaseAdapter):
    """Another process extends the row right after it was read."""

    def peek(self, session_id: str) -> LegacyRecord | None:
        record = super().peek(session_id)
        run("UPDATE funnel_sessions SET expires_at = '2999-01-01'")
        return record


def test_a_row_that_was_extended_meanwhile_is_not_expired(adapter: DatabaseAdapter) -> None:
    put(adapter.table, row(expires_at="2020-01-01T00:00:00+00:00"))

    assert ExtendedAdapter(source="database", alias="default").load(ID) is None

    assert peeked(adapter).data["status"] == "pending"


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800", "x" * 10_000])
def test_an_id_that_no_column_holds_is_none(adapter: DatabaseAdapter, odd: str) -> None:
    assert adapter.peek(odd) is None
    assert adapter.delete(odd) is False


@pytest.mark.parametrize("odd", [None, "a\x00b", "\ud800"])
def test_a_record_under_an_id_that_no_column_holds_is_refused(
    adapter: DatabaseAdapter, odd: str | None
) -> None:
    put(adapter.table, row(), row(id=""))

    with pytest.raises(UnwritableRecordError, match="id"):
        adapter.save(LegacyRecord.of(odd, {**row(), "status": "failed"}))

    assert value_of("SELECT count(*) FROM funnel_sessions WHERE status = 'failed'") == 0


def test_a_failed_save_leaves_the_callers_transaction_usable(adapter: DatabaseAdapter) -> None:
    put(adapter.table, row())
    limit = value_of("SHOW statement_timeout")

    with transaction.atomic():
        with pytest.raises(UnwritableRecordError):
            adapter.save(LegacyRecord.of(ID, {"amount": "much"}))
        run("UPDATE funnel_sessions SET note = '1'")

    assert peeked(adapter).data["note"] == 1
    assert value_of("SHOW statement_timeout") == limit


lossless = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_arbitrary_json_comes_back_as_it_was(adapter: DatabaseAdapter, kind: str) -> None:
    run(f"ALTER TABLE funnel_sessions ALTER customer_info TYPE {kind}, ALTER note TYPE {kind}")
    put(adapter.table, row())

    @lossless
    @given(json_values)
    @example({"nul": ["x\x00y"], "half": "\ud800", "both \\u0000": "👩"})
    def check(value: Any) -> None:
        try:
            with transaction.atomic():
                text = json.dumps(value, default=str)
                run("UPDATE funnel_sessions SET customer_info = %s, note = %s", text, text)
        except Error:
            return  # NaN, or what jsonb does not hold
        before = peeked(adapter)
        adapter.save(adapter.from_unified(adapter.to_unified(before), before=before))
        after = peeked(adapter)

        names = ("customer_info", "note")
        assert [after.data[name] for name in names] == [before.data[name] for name in names]
        run("DELETE FROM funnel_sessions")
        adapter.save(before)
        assert peeked(adapter).digest == before.digest

    check()


def test_a_customer_is_changed_without_the_rest(adapter: DatabaseAdapter) -> None:
    put(adapter.table, row(products=[{"id": "A", "price": "89"}, "SOIL"], amount=Decimal("59.971")))
    before = peeked(adapter)
    session = msgspec.structs.replace(
        adapter.to_unified(before), customer=freeze({"firstName": "Zoë", "tags": [1, {"a": None}]})
    )

    record = adapter.from_unified(session, before=before)

    assert record.data["customer_info"] == {"firstName": "Zoë", "tags": [1, {"a": None}]}
    rest = {name for name in record.data if record.data[name] != before.data.get(name)}
    assert rest == {"customer_info"}


def test_answers_are_changed_without_what_the_row_said_otherwise(adapter: DatabaseAdapter) -> None:
    run("ALTER TABLE funnel_sessions ALTER upsells_accepted TYPE jsonb USING to_jsonb(NULL::text)")
    serum, odd = {"productCode": "upsell-1-serum", "amount": 5}, {"note": "x"}
    put(adapter.table, row(upsells_accepted=[None, serum, odd, "upsell-1-pot"]))
    before = peeked(adapter)
    session = adapter.to_unified(before)
    taken = ("upsell-1-pot", "upsell-1-serum", "upsell-2-lamp")

    adapter.save(
        adapter.from_unified(
            msgspec.structs.replace(
                session, upsells=msgspec.structs.replace(session.upsells, accepted=taken)
            ),
            before=before,
        )
    )

    assert peeked(adapter).data["upsells_accepted"] == [
        *("upsell-1-pot", "upsell-2-lamp"),
        *(None, serum, odd),
    ]
    assert set(session_of(adapter).upsells.accepted) == set(taken)
    assert adapter.from_unified(session).data["upsells_accepted"] == [
        *("upsell-1-pot", None, serum, odd)
    ]

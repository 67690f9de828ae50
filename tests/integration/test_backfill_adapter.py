"""Legacy adapters keep the one contract; the table's is read on real PostgreSQL."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from django.db import connection

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import SourceUnavailableError, UnreadableRecordError
from legacy_adapters.testing import InMemoryAdapter
from tests.contracts.legacy_adapter import LegacyAdapterContract
from tests.legacy import create_table, paid_row, put, row

if TYPE_CHECKING:
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter


NOTE = ", note jsonb"
PRICED_BY_TEXT = {"id": "LAMP", "price": "89", "size": {"cm": [10, 12]}}
# Each of it has no place in a session, or would be written otherwise today.
ODD: dict[str, Any] = {
    "products": [PRICED_BY_TEXT, "SOIL", {"id": "POT", "price": 0.30000000000000004}],
    "amount": Decimal("59.970000000000006"),
    "current_step": "upsell-3",
    "customer_info": "Ana",
    "payment_token": "tok_1",
}


class RowContract(LegacyAdapterContract):
    expired_leaves: ClassVar[dict[str, Any]] = {"status": "expired"}
    own_times = frozenset({"updated_at"})

    def example(self, session_id: str, *, email: str = "ana@example.org") -> dict[str, Any]:
        return paid_row(id=session_id, email=email, products=[*row()["products"], PRICED_BY_TEXT])

    def expired_example(self, session_id: str) -> dict[str, Any]:
        return row(id=session_id, expires_at="2026-11-20T23:09:26.128+00:00")

    def broken_example(self, session_id: str) -> dict[str, Any]:
        return row(id=session_id, status="initiated")

    def odd_example(self, session_id: str) -> dict[str, Any]:
        return row(id=session_id, note={"from": ["newsletter", 7]}, **ODD)

    def updated(self, record: dict[str, Any], at: datetime) -> dict[str, Any]:
        return {**record, "updated_at": at.isoformat()}


@pytest.mark.django_db  # the clock is the database's
class TestInMemoryAdapter(RowContract):
    @pytest.fixture
    def adapter(self) -> LegacyAdapter:
        return InMemoryAdapter(source="memory")

    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        assert isinstance(adapter, InMemoryAdapter)
        adapter.rows.update({each["id"]: each for each in records})


class TableContract(RowContract):
    table = "funnel_sessions"
    offers = "text[]"

    @pytest.fixture
    def adapter(self, db: None) -> LegacyAdapter:
        adapter = DatabaseAdapter(source="database", alias="default", table=self.table)
        create_table(adapter.table, offers=self.offers, extra=NOTE)
        return adapter

    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        assert isinstance(adapter, DatabaseAdapter)
        put(adapter.table, *records)


class TestTextArrays(TableContract):
    pass


class TestJsonb(TableContract):
    offers = "jsonb"


class TestOddName(TableContract):
    table = 'Old "50%s" sessions'


class TestSchema(TableContract):
    table = "old shop.Sessions"

    @pytest.fixture
    def adapter(self, db: None) -> LegacyAdapter:
        with connection.cursor() as cursor:
            cursor.execute('CREATE SCHEMA "old shop"')
        adapter = DatabaseAdapter(source="database", alias="default", table=self.table)
        create_table(adapter.table, extra=NOTE)
        return adapter


@pytest.mark.django_db(databases=["default", "legacy"])
class TestOwnDatabase(TableContract):
    @pytest.fixture
    def adapter(self, elsewhere: str, db: None) -> LegacyAdapter:
        adapter = DatabaseAdapter(source="database", alias="legacy")
        create_table(adapter.table, extra=NOTE)
        assert "funnel_sessions" not in connection.introspection.table_names()
        return adapter


@pytest.fixture
def adapter(db: None) -> DatabaseAdapter:
    return DatabaseAdapter(source="database", alias="default", table="funnel_sessions")


@pytest.mark.parametrize("offers", ["text[]", "jsonb", "json", "text"])
def test_offers_are_read_from_any_column_type(adapter: DatabaseAdapter, offers: str) -> None:
    create_table(adapter.table, offers=offers)
    accepted: Any = ["upsell-1-serum", "upsell-2-lamp"]
    put(
        adapter.table,
        paid_row(
            upsells_accepted=json.dumps(accepted) if offers == "text" else accepted,
            upsells_declined=None,
        ),
    )

    record = adapter.peek("ws_mwo5wwds_2")

    assert record is not None
    session = adapter.to_unified(record)
    assert session.upsells.accepted == tuple(accepted)
    assert session.upsells.declined == ()
    assert adapter.table.columns()["upsells_accepted"] == offers


def test_money_is_exact(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    lines = [{"id": "POT", "price": 0.1, "quantity": 3}, {"id": "LAMP", "price": "89"}]
    put(adapter.table, row(amount=Decimal("12345678901234.56"), products=lines))

    record = adapter.peek("ws_mwo5wwds_2")

    assert record is not None
    session = adapter.to_unified(record)
    assert session.amount == Decimal("12345678901234.56")
    assert [product.price for product in session.products] == [Decimal("0.10"), Decimal("89.00")]


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("created_at", "infinity", "created_at is no date: 'infinity'"),
        ("expires_at", "-infinity", "expires_at is no date: '-infinity'"),
        ("updated_at", "0044-03-15 12:00:00+00 BC", "updated_at is no date"),
        ("expires_at", "25000-01-01 00:00:00+00", "expires_at is no date"),
        ("expires_at", None, "expires_at is missing"),
    ],
)
def test_dates_that_only_postgresql_knows_are_unreadable(
    adapter: DatabaseAdapter, column: str, value: Any, why: str
) -> None:
    create_table(adapter.table)
    put(adapter.table, row(**{column: value}), row(id="ws_mwo5wwds_3"))

    (batch,) = adapter.scan()

    with pytest.raises(UnreadableRecordError, match=why):
        adapter.to_unified(batch.records[0])
    assert adapter.to_unified(batch.records[1])


def test_what_only_the_json_type_holds_is_read(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions ALTER customer_info TYPE json")
    put(adapter.table, row())
    reasons = []
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    with connection.cursor() as cursor:
        for text in (r'{"a": "x\u0000\ud800", "big": 1e400}', deep):
            cursor.execute("UPDATE funnel_sessions SET customer_info = %s::json", [text])
            record = adapter.peek("ws_mwo5wwds_2")
            assert record is not None
            try:
                session = adapter.to_unified(record)
            except UnreadableRecordError as exc:
                reasons.append(exc.reason)
            else:
                assert session.customer == {"a": "x\\u0000\\ud800", "big": "1E+400"}
    assert len(reasons) == 1
    assert "JSON" in reasons[0]


def test_amounts_that_are_no_numbers_are_kept_aside(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    put(adapter.table, row(amount="NaN"))

    record = adapter.peek("ws_mwo5wwds_2")

    assert record is not None
    session = adapter.to_unified(record)
    assert (session.amount, session.metadata) == (None, {"legacy": {"database": {"amount": "NaN"}}})


def test_columns_of_the_shop_s_own_are_kept(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table, extra=", utm jsonb, customer_vault text")
    put(adapter.table, row(utm={"source": "mail"}, customer_vault="117041394"))

    record = adapter.peek("ws_mwo5wwds_2")

    assert record is not None
    assert adapter.to_unified(record).metadata == {
        "legacy": {"database": {"columns": {"utm": {"source": "mail"}}}}
    }


def test_a_new_empty_column_changes_no_digest(adapter: DatabaseAdapter) -> None:
    create_table(adapter.table)
    put(adapter.table, row())
    before = adapter.peek("ws_mwo5wwds_2")

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE funnel_sessions ADD note text")
    after = adapter.peek("ws_mwo5wwds_2")

    assert before is not None
    assert after is not None
    assert after.digest == before.digest


class TestHealth:
    def test_without_the_table(self, adapter: DatabaseAdapter) -> None:
        problem = adapter.health().problem

        assert problem is not None
        assert "There is no table funnel_sessions in the database test_" in problem
        assert "LEGACY_DATABASE_URL" in problem

    def test_without_a_column(self, adapter: DatabaseAdapter) -> None:
        create_table(adapter.table)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_sessions DROP email, DROP amount")

        assert adapter.health().problem == "The table funnel_sessions has no column email, amount."

    def test_without_the_database(self, db: None) -> None:
        adapter = DatabaseAdapter(source="database", alias="nowhere")

        assert "There is no database 'nowhere'" in (adapter.health().problem or "")
        with pytest.raises(SourceUnavailableError, match="nowhere"):
            adapter.count()

    def test_without_the_right_to_read(self, adapter: DatabaseAdapter) -> None:
        create_table(adapter.table)
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE stranger; SET ROLE stranger")

        with pytest.raises(SourceUnavailableError, match="permission denied"):
            adapter.count()

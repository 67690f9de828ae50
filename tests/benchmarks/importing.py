"""The backfill of a legacy table, against COPY out, decode, COPY in."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psycopg

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.backfill.whole import backfill as run_backfill
from legacy_adapters.models import ImportRecord
from sessions_unified.tiers.rows import EVENTS, SESSIONS
from tests.benchmarks import loading
from tests.benchmarks.legacy import FILL, TABLE
from tests.benchmarks.measuring import Measured
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import WrongTierError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench

_COLUMNS: Final = (
    *("id", "email", "status", "current_step", "customer", "products", "amount", "currency"),
    *("upsells", "vault_id", "transaction_id", "payment_token", "metadata", "version", "holds"),
    *("created_at", "updated_at", "expires_at"),
)
_EVENT: Final = ("session_id", "seq", "kind", "changed", "data", "actor", "at")


@row(
    operation="backfill 1,000,000 rows from the database adapter",
    baseline="COPY out, decode, COPY into both unified tables",
    target=2.5,
)
def backfill(bench: Bench) -> Measured:
    database = bench.database
    database.execute(f"DROP TABLE IF EXISTS {TABLE.name}")
    database.execute(TABLE.create)
    database.execute(FILL, [bench.bulk_rows])

    def ours() -> None:
        adapter = DatabaseAdapter(source="database", alias="default", table=TABLE.name)
        run_backfill(adapter)

    def bare() -> None:
        _copy(bench.servers.database_url)

    mine, theirs = (_rate(bench, work) for work in (ours, bare))
    database.execute(f"DROP TABLE {TABLE.name}")
    _empty(bench)
    return Measured(p50_us=mine, p99_us=mine, baseline_p50_us=theirs)


def _rate(bench: Bench, work: Callable[[], None]) -> float:
    _empty(bench)
    loading.settle(bench.database)
    began = time.perf_counter()
    work()
    spent = time.perf_counter() - began
    finished = loading.count(bench.database, "status = 'pending'")
    if finished != bench.bulk_rows:
        raise WrongTierError(f"{finished} of {bench.bulk_rows} rows were imported.")
    return spent / bench.bulk_rows * 1e6


def _empty(bench: Bench) -> None:
    loading.truncate(bench.database, SESSIONS, EVENTS, ImportRecord._meta.db_table)


def _copy(url: str) -> None:
    out = f"COPY (SELECT row_to_json(t)::text FROM {TABLE.name} AS t) TO STDOUT"
    into_sessions = f"COPY {SESSIONS} ({', '.join(_COLUMNS)}) FROM STDIN"
    into_events = f"COPY {EVENTS} ({', '.join(_EVENT)}) FROM STDIN"
    with (
        psycopg.connect(url) as reading,
        psycopg.connect(url) as sessions,
        psycopg.connect(url) as events,
        reading.cursor().copy(out) as source,
        sessions.cursor().copy(into_sessions) as session_rows,
        events.cursor().copy(into_events) as event_rows,
    ):
        for (text,) in source.rows():
            row = json.loads(text, parse_float=Decimal)
            session_rows.write_row(_session(row))
            event_rows.write_row(
                (row["id"], 1, "session_imported", "[]", "{}", "import:bare", row["created_at"])
            )


def _session(row: dict[str, Any]) -> tuple[Any, ...]:
    upsells = {"accepted": row["upsells_accepted"], "declined": row["upsells_declined"]}
    return (
        *(row["id"], row["email"], row["status"], row["current_step"]),
        json.dumps(row["customer_info"]),
        json.dumps(row["products"], default=float),
        *(row["amount"], "USD", json.dumps(upsells)),
        *(row["vault_id"], row["transaction_id"], row["payment_token"]),
        *("{}", 1, 0, row["created_at"], row["updated_at"], row["expires_at"]),
    )

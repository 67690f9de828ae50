"""The whole sample shop, imported: what becomes of each of its 215 rows, and of the money."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from django.db import connection

from funnel.checkout import process_checkout
from funnel.exceptions import ChargeInFlightError
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from funnel.upsell import process_upsell
from legacy_adapters import sample_world
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.models import ImportRecord
from sessions_unified import sealing
from sessions_unified.conf import get_conf
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import Tiers, build_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 215


class Fate(NamedTuple):
    """Where rows of one kind end up: still alive, or past their end; and how many there are."""

    rows: int
    alive: tuple[str, str]
    over: tuple[str, str]


SUCCESS = ("completed", "success")
REVIEW = ("processing", "processing")
# (status, step, paid) in the old shop → what it becomes. Paid ones complete at their end, unpaid
# ones expire, and one that may have been charged waits for a person.
FATES = {
    ("pending", "checkout", False): Fate(39, ("pending", "checkout"), ("expired", "checkout")),
    ("pending", "upsell-3", False): Fate(3, ("pending", "checkout"), ("expired", "checkout")),
    ("processing", "processing", False): Fate(25, REVIEW, REVIEW),
    ("processing", "upsell-3", False): Fate(1, REVIEW, REVIEW),
    ("processing", "upsell-1", True): Fate(29, ("processing", "upsell-1"), SUCCESS),
    ("processing", "upsell-2", True): Fate(33, ("processing", "upsell-2"), SUCCESS),
    ("processing", "upsell-3", True): Fate(4, ("processing", "upsell-?"), SUCCESS),
    ("completed", "success", True): Fate(35, SUCCESS, SUCCESS),
    ("completed", "upsell-3", True): Fate(2, SUCCESS, SUCCESS),
    ("failed", "processing", False): Fate(12, ("failed", "processing"), ("expired", "processing")),
    ("failed", "upsell-3", False): Fate(1, ("failed", "checkout"), ("expired", "checkout")),
    ("failed", "upsell-1", True): Fate(13, ("failed", "upsell-1"), SUCCESS),
    ("failed", "upsell-2", True): Fate(16, ("failed", "upsell-2"), SUCCESS),
    ("failed", "upsell-3", True): Fate(2, ("failed", "upsell-1"), SUCCESS),
}


@pytest.fixture
def adapter(db: None) -> DatabaseAdapter:
    return DatabaseAdapter(source="database", alias="default")


@pytest.fixture
def tiers_at(redis_flush: None) -> Callable[[datetime], Tiers]:
    return lambda now: build_tiers(get_conf(), FrozenClock(now))


def legacy_rows() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM funnel_sessions ORDER BY id")
        names = [column.name for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def kind(row: dict[str, Any]) -> tuple[str, str, bool]:
    return row["status"], row["current_step"], row["transaction_id"] is not None


def expected_position(row: dict[str, Any], now: datetime) -> tuple[str, str]:
    fate = FATES[kind(row)]
    if row["expires_at"] <= now:
        return fate.over
    status, step = fate.alive
    has_accepted_first = any(offer.startswith("upsell-1-") for offer in row["upsells_accepted"])
    return status, step.replace("?", "2" if has_accepted_first else "1")


def everything() -> tuple[Any, ...]:
    """Return what a second run may not touch: rows down to their physical versions, and counts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, version, holds, updated_at, xmin::text, ctid::text "
            "FROM sessions_unified_unifiedsession ORDER BY id"
        )
        rows = tuple(cursor.fetchall())
        cursor.execute("SELECT id, xmin::text FROM funnel_chargeattempt ORDER BY id")
        attempts = tuple(cursor.fetchall())
        cursor.execute("SELECT id, xmin::text FROM legacy_adapters_importrecord ORDER BY id")
        records = tuple(cursor.fetchall())
    return rows, attempts, records, SessionEvent.objects.count()


def test_the_table_of_fates_covers_the_world(adapter: DatabaseAdapter) -> None:
    assert sample_world.load(adapter.table) == ROWS

    assert Counter(kind(row) for row in legacy_rows()) == {
        what: fate.rows for what, fate in FATES.items()
    }
    assert sum(fate.rows for fate in FATES.values()) == ROWS


@pytest.mark.parametrize(
    ("shifted_to", "read_after", "alive"),
    [
        pytest.param(None, timedelta(0), 74, id="as it stands, at its time zero"),
        pytest.param(None, timedelta(hours=9), None, id="as it stands, hours later"),
        pytest.param(None, timedelta(days=2), 0, id="as it stands, days later: all over"),
        pytest.param(
            datetime(2031, 2, 28, 23, 59, tzinfo=UTC), timedelta(0), 74, id="shifted to another day"
        ),
    ],
)
def test_every_row_of_the_world_ends_up_where_it_should(
    adapter: DatabaseAdapter,
    tiers_at: Callable[[datetime], Tiers],
    shifted_to: datetime | None,
    read_after: timedelta,
    alive: int | None,
) -> None:
    sample_world.load(adapter.table, now=shifted_to)
    now = (shifted_to or sample_world.time_zero()) + read_after
    rows = legacy_rows()

    report = backfill(adapter, tiers=tiers_at(now), batch_size=50)

    assert report.as_json() == {
        "read": ROWS,
        "imported": ROWS,
        "unchanged": 0,
        "merged": 0,
        "conflicting": 0,
        "unreadableCount": 0,
        "masked": [],
        "unreadable": [],
        "conflicts": [],
    }
    found = {session.id: session for session in UnifiedSession.objects.all()}
    positions = {key: (each.status, each.current_step) for key, each in found.items()}
    assert positions == {row["id"]: expected_position(row, now) for row in rows}
    if alive is not None:
        assert sum(row["expires_at"] > now for row in rows) == alive
    for row in rows:
        check_facts(found[row["id"]], row)


def opened(stored: str | None) -> str | None:
    assert stored is None or sealing.is_current(stored)
    return None if stored is None else sealing.unseal(stored)


def check_facts(session: UnifiedSession, row: dict[str, Any]) -> None:
    """What the shopper gave, and what was paid, is there to the last cent and accent."""
    is_settled = session.version > 1
    assert session.email == row["email"]
    assert session.amount == row["amount"]
    assert opened(session.vault_id) == row["vault_id"]
    assert session.transaction_id == row["transaction_id"]
    assert session.upsells.get("accepted", []) == row["upsells_accepted"]
    assert session.upsells.get("declined", []) == row["upsells_declined"]
    assert session.created_at == row["created_at"]
    assert is_settled or session.expires_at == row["expires_at"]
    token = row["payment_token"] if row["status"] == "pending" and not is_settled else None
    assert opened(session.payment_token) == token
    legacy = session.metadata.get("legacy", {}).get("database", {})
    known = row["current_step"] != "upsell-3"
    assert legacy == ({} if known else {"currentStep": "upsell-3"})


def test_customers_and_lines_are_kept_whole(
    adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers]
) -> None:
    sample_world.load(adapter.table)

    backfill(adapter, tiers=tiers_at(sample_world.time_zero()))

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE s.customer IS NOT DISTINCT FROM f.customer_info), "
            "count(*) FILTER (WHERE jsonb_array_length(s.products) = "
            "jsonb_array_length(f.products)) "
            "FROM funnel_sessions f JOIN sessions_unified_unifiedsession s USING (id)"
        )
        assert cursor.fetchone() == (ROWS, ROWS)
        cursor.execute(
            "SELECT count(*) FROM funnel_sessions f JOIN sessions_unified_unifiedsession s "
            "USING (id), jsonb_array_elements(f.products) WITH ORDINALITY AS a(line, n), "
            "jsonb_array_elements(s.products) WITH ORDINALITY AS b(line, n) WHERE a.n = b.n AND "
            "(a.line ->> 'id', a.line ->> 'name', (a.line ->> 'price')::numeric, "
            "a.line ->> 'quantity') IS DISTINCT FROM "
            "(b.line ->> 'id', b.line ->> 'name', (b.line ->> 'price')::numeric, "
            "b.line ->> 'quantity')"
        )
        assert cursor.fetchone() == (0,)


def test_what_was_paid_is_on_record(
    adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers]
) -> None:
    sample_world.load(adapter.table)
    rows = legacy_rows()

    backfill(adapter, tiers=tiers_at(sample_world.time_zero() + timedelta(days=2)))

    expected = []
    for row in rows:
        if row["transaction_id"]:
            expected.append((row["id"], "checkout", "succeeded", row["transaction_id"]))
        elif row["status"] == "processing":
            expected.append((row["id"], "checkout", "needs_review", None))
        accepted = row["upsells_accepted"]
        expected += [(row["id"], f"upsell:{offer}", "succeeded", None) for offer in accepted]
    attempts = ChargeAttempt.objects.values_list("session_id", "purpose", "state", "transaction_id")
    assert sorted(attempts, key=str) == sorted(expected, key=str)
    assert set(ChargeAttempt.objects.values_list("gateway", flat=True)) == {"imported"}
    in_review = [row["id"] for row in rows if FATES[kind(row)].over == REVIEW]
    held = UnifiedSession.objects.filter(holds=1)
    assert set(held.values_list("id", flat=True)) == set(in_review)
    assert UnifiedSession.objects.exclude(holds__in=[0, 1]).count() == 0


@pytest.mark.parametrize("batch_size", [1, 7, 215, 1000])
def test_a_second_run_changes_nothing(
    adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers], batch_size: int
) -> None:
    sample_world.load(adapter.table)
    tiers = tiers_at(sample_world.time_zero())
    first = backfill(adapter, tiers=tiers, batch_size=batch_size)
    before = everything()

    second = backfill(adapter, tiers=tiers)

    assert (first.imported, second.imported) == (ROWS, 0)
    assert second.unchanged == second.read == ROWS
    assert everything() == before


def test_a_dry_run_counts_and_writes_nothing(
    adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers]
) -> None:
    sample_world.load(adapter.table)

    report = backfill(adapter, tiers=tiers_at(sample_world.time_zero()), is_dry_run=True)

    assert (report.read, report.imported) == (ROWS, ROWS)
    assert everything() == ((), (), (), 0)


def test_each_import_is_one_event(
    adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers]
) -> None:
    sample_world.load(adapter.table)
    now = sample_world.time_zero() + timedelta(days=2)

    backfill(adapter, tiers=tiers_at(now))

    imported = SessionEvent.objects.filter(kind="session_imported")
    assert imported.count() == imported.values("session_id").distinct().count() == ROWS
    assert set(SessionEvent.objects.values_list("actor", flat=True)) == {"import:database"}
    versions = dict(ImportRecord.objects.values_list("session_id", "unified_version"))
    assert versions == dict(UnifiedSession.objects.values_list("id", "version"))
    email = legacy_rows()[0]["email"]
    assert not any(email in str(event.data) for event in SessionEvent.objects.all())


class TestNothingIsPaidTwice:
    @pytest.fixture
    def manager(
        self, adapter: DatabaseAdapter, tiers_at: Callable[[datetime], Tiers]
    ) -> UnifiedSessionManager:
        sample_world.load(adapter.table)
        tiers = tiers_at(sample_world.time_zero())
        backfill(adapter, tiers=tiers)
        return UnifiedSessionManager(tiers=tiers)

    @pytest.fixture
    def charges(self, manager: UnifiedSessionManager) -> Callable[[], int]:
        before = ChargeAttempt.objects.count()
        return lambda: ChargeAttempt.objects.count() - before + SandboxCharge.objects.count()

    @staticmethod
    def alive(status: str, step: str) -> list[str]:
        now = sample_world.time_zero()
        found = UnifiedSession.objects.filter(status=status, current_step=step, expires_at__gt=now)
        return list(found.values_list("id", flat=True))

    @pytest.mark.parametrize(
        ("status", "step"),
        [
            ("processing", "upsell-1"),
            ("processing", "upsell-2"),
            ("failed", "upsell-1"),
            ("failed", "upsell-2"),
            ("completed", "success"),
        ],
    )
    def test_a_paid_order_answers_without_charging(
        self,
        manager: UnifiedSessionManager,
        charges: Callable[[], int],
        status: str,
        step: str,
    ) -> None:
        shoppers = self.alive(status, step)
        assert shoppers
        for session_id in shoppers:
            reply = process_checkout(
                manager, session_id, key=f"pay-{session_id}", payment_token="tok_approve"
            )
            assert reply.status == 200

        assert charges() == 0

    def test_an_order_that_may_have_been_charged_is_not_charged(
        self, manager: UnifiedSessionManager, charges: Callable[[], int]
    ) -> None:
        held = list(UnifiedSession.objects.filter(holds=1).values_list("id", flat=True))
        assert len(held) == 26
        for session_id in held:
            with pytest.raises(ChargeInFlightError):
                process_checkout(
                    manager, session_id, key=f"pay-{session_id}", payment_token="tok_approve"
                )

        assert charges() == 0

    def test_an_accepted_upsell_answers_without_charging(
        self, manager: UnifiedSessionManager, charges: Callable[[], int]
    ) -> None:
        accepted = [
            (row["id"], offer)
            for row in legacy_rows()
            if row["expires_at"] > sample_world.time_zero()
            for offer in row["upsells_accepted"]
        ]
        assert len(accepted) > 20
        for session_id, offer in accepted:
            key = f"{session_id}-{offer}"
            reply = process_upsell(manager, session_id, key=key, offer_id=offer, decision="accept")
            assert reply.status == 200

        assert charges() == 0

    def test_an_imported_shopper_goes_on_and_pays_for_what_is_new(
        self, manager: UnifiedSessionManager, charges: Callable[[], int]
    ) -> None:
        session_id = self.alive("processing", "upsell-1")[0]

        reply = process_upsell(
            manager, session_id, key="new", offer_id="upsell-1-serum", decision="accept"
        )

        assert reply.status == 200
        attempt = ChargeAttempt.objects.get(session_id=session_id, gateway="sandbox")
        assert (attempt.purpose, attempt.state) == ("upsell:upsell-1-serum", "succeeded")
        assert manager.get_session(session_id, fresh=True).current_step == "upsell-2"
        assert charges() == 2  # its attempt, and the sandbox's own record of it

    def test_an_imported_shopper_who_has_not_paid_can(self, manager: UnifiedSessionManager) -> None:
        session_id = self.alive("pending", "checkout")[0]

        reply = process_checkout(manager, session_id, key="pay", payment_token="tok_approve")

        assert reply.status == 200
        assert manager.get_session(session_id, fresh=True).current_step == "upsell-1"

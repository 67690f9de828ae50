"""The backfill's rules: what counts as which, conflicts, tombstones, and refusals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from funnel.checkout import process_checkout
from funnel.exceptions import ChargeInFlightError
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.imported import record_imported
from funnel.payments.models import ChargeAttempt
from funnel.payments.settling import settle
from funnel.payments.verdicts import Source
from funnel.upsell import process_upsell
from legacy_adapters.conflicts.resolving import Decision, Shown, take_theirs
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.memory_cache import MemoryCacheAdapter
from legacy_adapters.migration.backfill.whole import Report, backfill
from legacy_adapters.migration.importing.records import MIXED
from legacy_adapters.models import ImportRecord, SessionConflict
from sessions_unified.clock import get_clock
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.legacy import create_table, paid_row, put, row

ID = "ws_mwo5wwds_2"
OTHER = "ws_mwo5wwds_3"


@pytest.fixture
def adapter(db: None, redis_flush: None) -> DatabaseAdapter:
    adapter = DatabaseAdapter(source="database", alias="default")
    create_table(adapter.table)
    return adapter


@pytest.fixture
def manager(adapter: DatabaseAdapter) -> UnifiedSessionManager:
    return UnifiedSessionManager()


def counts(report: Report) -> dict[str, int]:
    found = {
        "imported": report.imported,
        "unchanged": report.unchanged,
        "merged": report.merged,
        "conflicting": len(report.conflicts),
        "unreadable": len(report.unreadable),
    }
    assert report.read == sum(found.values())
    return {name: number for name, number in found.items() if number}


def a_minute_ago() -> str:
    return (get_clock().now() - timedelta(minutes=1)).isoformat()


def session(session_id: str = ID) -> UnifiedSession:
    return UnifiedSession.objects.get(pk=session_id)


def kinds(session_id: str = ID) -> list[str]:
    events = SessionEvent.objects.filter(session_id=session_id).order_by("seq")
    return list(events.values_list("kind", flat=True))


class TestChangedInTheOldShopOnly:
    def test_it_is_imported_again(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, row(email="new@example.org", customer_info=None))

        report = backfill(adapter)

        assert counts(report) == {"imported": 1}
        assert (session().email, session().customer, session().version) == (
            "new@example.org",
            None,
            2,
        )
        assert kinds() == ["session_imported", "session_reimported"]
        assert counts(backfill(adapter)) == {"unchanged": 1}

    def test_again_and_again(self, adapter: DatabaseAdapter) -> None:
        for number in range(3):
            put(adapter.table, row(email=f"{number}@example.org"))
            assert counts(backfill(adapter)) == {"imported": 1}

        assert session().email == "2@example.org"
        assert ImportRecord.objects.get().unified_version == session().version == 3

    def test_a_payment_there_is_on_record_here(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, paid_row(upsells_accepted=["upsell-1-serum"], current_step="upsell-2"))

        backfill(adapter)

        states = ChargeAttempt.objects.values_list("purpose", "state", "gateway")
        assert sorted(states) == [
            ("checkout", "succeeded", "imported"),
            ("upsell:upsell-1-serum", "succeeded", "imported"),
        ]

    @pytest.mark.parametrize("transaction_id", ["999", None])
    def test_another_payment_there_is_for_a_person(
        self, adapter: DatabaseAdapter, transaction_id: str | None
    ) -> None:
        put(adapter.table, paid_row())
        backfill(adapter)
        put(adapter.table, paid_row(transaction_id=transaction_id))

        report = backfill(adapter)

        assert counts(report) == {"conflicting": 1}
        assert report.conflicts[0].fields == ("transaction_id",)
        assert session().transaction_id == ChargeAttempt.objects.get().transaction_id
        assert SessionConflict.objects.get().blocks

    def test_a_payment_there_settles_what_was_in_doubt_here(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row(status="processing", current_step="processing"))
        backfill(adapter)
        assert session().holds == 1
        put(adapter.table, paid_row())

        backfill(adapter)

        attempt = ChargeAttempt.objects.get()
        assert (attempt.state, attempt.transaction_id) == ("succeeded", "3029929089")
        assert (session().holds, session().current_step) == (0, "upsell-1")

    def test_a_payment_that_was_under_way_by_the_step_alone_waits_for_a_person(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, row(current_step="processing"))

        backfill(adapter)

        assert (ChargeAttempt.objects.get().state, session().holds) == ("needs_review", 1)
        with pytest.raises(ChargeInFlightError):
            process_checkout(manager, ID, key="pay", payment_token="tok_approve")

    def test_a_payment_there_settles_what_a_person_took_for_unpaid(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, row(status="processing", current_step="processing"))
        backfill(adapter)
        not_executed = Receipt(outcome=Outcome.DECLINED, reason="not executed")
        settle(manager, ChargeAttempt.objects.get().pk, not_executed, Source(decided_by="bea"))
        assert (session().holds, session().current_step) == (0, "checkout")
        put(adapter.table, paid_row())
        assert counts(backfill(adapter)) == {"conflicting": 1}

        take_theirs(
            manager,
            SessionConflict.objects.get().pk,
            Shown(version=session().version, digest=SessionConflict.objects.get().digest),
            {"status", "current_step", "transaction_id", "vault_id"},
            Decision(by="bea", reason="It was paid after all."),
        )

        attempt = ChargeAttempt.objects.get()
        assert (attempt.state, attempt.transaction_id) == ("succeeded", "3029929089")
        assert session().holds == 0
        reply = process_upsell(
            manager, ID, key="extra", offer_id="upsell-1-serum", decision="accept"
        )
        assert reply.status == 200

    def test_nor_where_another_charge_has_paid_since(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, row(status="processing", current_step="processing"))
        backfill(adapter)
        not_executed = Receipt(outcome=Outcome.DECLINED, reason="not executed")
        settle(manager, ChargeAttempt.objects.get().pk, not_executed, Source(decided_by="bea"))
        process_checkout(manager, ID, key="pay", payment_token="tok_approve")
        there = manager.get_session(ID, fresh=True)

        record_imported([there])

        states = ChargeAttempt.objects.order_by("pk").values_list("gateway", "state")
        assert list(states) == [("imported", "declined"), ("sandbox", "succeeded")]

    def test_the_card_that_it_stored_meanwhile_pays_for_extras_here(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, paid_row(vault_id=None))
        backfill(adapter)
        put(adapter.table, paid_row())

        backfill(adapter)

        card = ChargeAttempt.objects.get().vault_id
        assert card == manager.get_session(ID, fresh=True).vault_id == "117041394"

    def test_what_was_paid_here_is_not_recorded_as_paid_there_too(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, paid_row())
        backfill(adapter)
        # As if this shop had charged the order, and the old one had been told.
        ChargeAttempt.objects.update(gateway="sandbox", gateway_order_id="fs-1")
        put(adapter.table, paid_row(upsells_accepted=["upsell-1-serum"], current_step="upsell-2"))

        report = backfill(adapter)

        purposes = ChargeAttempt.objects.order_by("pk").values_list("gateway", "purpose")
        assert counts(report)["imported"] == 1
        assert list(purposes) == [("sandbox", "checkout"), ("imported", "upsell:upsell-1-serum")]

    def test_past_its_end_by_now_it_is_settled(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, paid_row(expires_at="2020-01-01T00:00:00+00:00"))

        backfill(adapter)

        assert (session().status, session().current_step) == ("completed", "success")
        assert kinds() == ["session_imported", "session_reimported", "session_completed"]
        assert counts(backfill(adapter)) == {"unchanged": 1}

    def test_expired_there_too_after_it_was_here(self, adapter: DatabaseAdapter) -> None:
        past = "2020-01-01T00:00:00+00:00"
        put(adapter.table, row(expires_at=past))
        backfill(adapter)
        put(adapter.table, row(expires_at=past, status="expired", updated_at=past))

        assert counts(backfill(adapter)) == {"imported": 1}
        assert session().status == "expired"


class TestChangedHereOnly:
    def test_it_is_unchanged(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, row())
        backfill(adapter)
        manager.update_session(ID, {"email": "here@example.org"})

        report = backfill(adapter)

        assert counts(report) == {"unchanged": 1}
        assert (session().email, session().version) == ("here@example.org", 2)


class TestChangedOnBothSides:
    @pytest.fixture
    def report(self, adapter: DatabaseAdapter, manager: UnifiedSessionManager) -> Report:
        put(adapter.table, row(), row(id=OTHER))
        backfill(adapter)
        manager.update_session(ID, {"email": "here@example.org"})
        put(adapter.table, row(email="there@example.org", amount="99.00"))
        return backfill(adapter)

    def test_it_conflicts_and_the_session_stays(self, report: Report) -> None:
        assert counts(report) == {"conflicting": 1, "unchanged": 1}
        assert report.as_json()["conflicts"] == [{"id": ID, "fields": ["email", "amount"]}]
        assert (session().email, session().version) == ("here@example.org", 2)
        assert kinds() == ["session_imported", "session_updated"]

    def test_it_is_recorded_without_personal_data(self, report: Report) -> None:
        conflict = SessionConflict.objects.get()

        assert (conflict.session_id, conflict.source) == (ID, "database")
        assert conflict.fields == ["email", "amount"]
        assert "there@example.org" not in str(vars(conflict))

    def test_repeating_changes_nothing(self, report: Report, adapter: DatabaseAdapter) -> None:
        before = SessionConflict.objects.values().get()

        again = backfill(adapter)

        assert counts(again) == counts(report)
        assert SessionConflict.objects.values().get() == before

    def test_another_change_there_is_another_conflict(
        self, report: Report, adapter: DatabaseAdapter
    ) -> None:
        put(adapter.table, row(email="there@example.org"))

        assert counts(backfill(adapter)) == {"conflicting": 1, "unchanged": 1}
        assert SessionConflict.objects.get().fields == ["email"]

    def test_it_ends_when_they_agree_again(
        self, report: Report, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        manager.update_session(ID, {"email": "there@example.org", "amount": 99})

        again = backfill(adapter)

        assert counts(again) == {"unchanged": 2}
        assert not SessionConflict.objects.exists()
        put(adapter.table, row(email="later@example.org"))
        assert counts(backfill(adapter)) == {"imported": 1, "unchanged": 1}


def test_the_same_change_on_both_sides_is_no_conflict(
    adapter: DatabaseAdapter, manager: UnifiedSessionManager
) -> None:
    put(adapter.table, row())
    backfill(adapter)
    manager.update_session(ID, {"email": "same@example.org"})
    put(adapter.table, row(email="same@example.org"))

    assert counts(backfill(adapter)) == {"unchanged": 1}
    assert session().version == 2


def create(manager: UnifiedSessionManager, **fields: Any) -> None:
    """Make the session of `row` here, as a first import that left no record."""
    given = {
        "email": "ana@example.org",
        "customer": {"firstName": "Ana"},
        "products": [{"id": "SOIL", "name": "Living Soil 5L", "price": "12.50", "quantity": 1}],
        "amount": 12.5,
    }
    manager.create_session(session_id=ID, **{**given, **fields})
    UnifiedSession.objects.filter(pk=ID).update(created_at=row()["created_at"])


def versions() -> dict[str, int]:
    """Return, by source, the version that is remembered."""
    return dict(ImportRecord.objects.values_list("source", "unified_version"))


class TestHereBeforeAnyImport:
    def test_saying_the_same_it_is_unchanged(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        put(adapter.table, row())

        assert counts(backfill(adapter)) == {"unchanged": 1}
        assert kinds() == ["session_created"]
        assert session().version == 1

    def test_and_from_then_on_it_follows_the_old_shop(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, row(email="new@example.org"))

        assert counts(backfill(adapter)) == {"imported": 1}
        assert session().email == "new@example.org"

    def test_saying_something_else_it_conflicts(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager, email="other@example.org")
        put(adapter.table, row())

        report = backfill(adapter)

        assert counts(report) == {"conflicting": 1}
        assert report.conflicts[0].fields == ("email",)
        assert session().email == "other@example.org"
        assert not ImportRecord.objects.exists()

    def test_settled_for_its_end_it_is_unchanged(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row(expires_at="2020-01-01T00:00:00+00:00"))
        backfill(adapter)
        ImportRecord.objects.all().delete()

        assert counts(backfill(adapter)) == {"unchanged": 1}
        assert session().status == "expired"


class TestMadeHere:
    def test_a_payment_there_is_merged_and_never_charged_again(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        put(adapter.table, paid_row(upsells_accepted=["upsell-1-serum"], current_step="upsell-2"))

        report = backfill(adapter)

        assert counts(report) == {"merged": 1}
        merged = manager.get_session(ID, fresh=True)
        assert (merged.status, merged.current_step) == ("processing", "upsell-2")
        assert (merged.transaction_id, merged.vault_id) == ("3029929089", "117041394")
        assert sorted(ChargeAttempt.objects.values_list("purpose", "state", "gateway")) == [
            ("checkout", "succeeded", "imported"),
            ("upsell:upsell-1-serum", "succeeded", "imported"),
        ]
        reply = process_checkout(manager, ID, key="pay", payment_token="tok_approve")
        assert reply.status == 200
        assert ChargeAttempt.objects.count() == 2

    def test_the_event_names_what_changed(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        put(adapter.table, paid_row())

        backfill(adapter)

        event = SessionEvent.objects.get(kind="session_merged")
        assert (event.actor, event.seq) == ("import:database", 2)
        assert set(event.changed) == {"status", "current_step", "transaction_id", "vault_id"}
        assert event.data == {
            "source": "database",
            "status": ["pending", "processing"],
            "step": ["checkout", "upsell-1"],
        }

    def test_a_second_run_finds_it_unchanged(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        put(adapter.table, paid_row())
        backfill(adapter)

        assert counts(backfill(adapter)) == {"unchanged": 1}
        assert session().version == 2

    def test_what_was_paid_here_is_never_replaced_by_what_the_record_says_later(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager, metadata={"note": "here"})
        put(adapter.table, row(customer_info={"firstName": "Ana", "phone": "1"}))
        assert counts(backfill(adapter)) == {"merged": 1}
        assert versions() == {"database": MIXED}
        put(adapter.table, paid_row(customer_info=None))

        assert counts(backfill(adapter)) == {"merged": 1}
        merged = manager.get_session(ID, fresh=True)
        assert merged.transaction_id == "3029929089"
        assert merged.metadata["note"] == "here"
        assert merged.customer == {"firstName": "Ana", "phone": "1"}

    @pytest.mark.parametrize("was_imported", [False, True])
    def test_nor_is_it_after_the_record_has_said_the_same(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager, *, was_imported: bool
    ) -> None:
        if was_imported:
            put(adapter.table, row())
            backfill(adapter)
        else:
            create(manager)
        process_checkout(manager, ID, key="pay", payment_token="tok_approve")
        here = manager.get_session(ID, fresh=True)
        vault_id, transaction_id = here.vault_id, here.transaction_id
        put(adapter.table, paid_row(vault_id=vault_id, transaction_id=transaction_id))
        assert counts(backfill(adapter)) == {"unchanged": 1}
        put(adapter.table, row())

        assert counts(backfill(adapter)) == {"unchanged": 1}

        assert manager.get_session(ID, fresh=True) == here
        assert session().transaction_id == transaction_id

    def test_what_the_record_has_no_place_for_outlives_that_it_says_the_same(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager, metadata={"note": "here"})
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, row(customer_info={"firstName": "Ana", "phone": "1"}))

        assert counts(backfill(adapter)) == {"merged": 1}
        assert session().metadata == {"note": "here"}

    def test_an_open_charge_outlives_that_the_record_says_the_same(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        UnifiedSession.objects.update(holds=1)
        put(adapter.table, row())
        backfill(adapter)
        put(adapter.table, row(status="failed"))

        assert counts(backfill(adapter)) == {"conflicting": 1}
        assert session().status == "pending"

    def test_while_a_charge_is_open_nothing_is_written(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        UnifiedSession.objects.update(holds=1)
        put(adapter.table, paid_row())

        report = backfill(adapter)

        assert counts(report) == {"conflicting": 1}
        assert (session().version, session().transaction_id) == (1, None)
        assert not ChargeAttempt.objects.exists()
        assert SessionConflict.objects.get().blocks
        UnifiedSession.objects.update(holds=0)
        assert counts(backfill(adapter)) == {"merged": 1}
        assert not SessionConflict.objects.exists()

    def test_a_contradiction_that_a_rule_decides_is_for_the_record(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        create(manager)
        UnifiedSession.objects.update(upsells={"declined": ["upsell-1-serum"]})
        put(adapter.table, paid_row(upsells_accepted=["upsell-1-serum"]))

        report = backfill(adapter)

        assert counts(report) == {"merged": 1}
        assert counts(backfill(adapter)) == {"unchanged": 1}
        conflict = SessionConflict.objects.get()
        assert (conflict.fields, conflict.blocks) == (["upsells"], False)
        put(adapter.table, paid_row())
        backfill(adapter)
        assert not SessionConflict.objects.filter(digest=conflict.digest).exists()

    @pytest.mark.parametrize("state", ["refunded", "voided"])
    def test_what_was_given_back_here_is_not_recorded_as_paid_again(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager, state: str
    ) -> None:
        put(adapter.table, paid_row())
        backfill(adapter)
        # As if this shop had charged the order, and given the money back.
        ChargeAttempt.objects.update(gateway="sandbox", gateway_order_id="fs-1", state=state)
        ImportRecord.objects.all().delete()
        put(adapter.table, paid_row(customer_info={"firstName": "Ana", "phone": "1"}))

        assert counts(backfill(adapter)) == {"merged": 1}
        assert list(ChargeAttempt.objects.values_list("state", flat=True)) == [state]

    def test_a_charge_that_was_voided_here_is_no_payment_there(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, paid_row(transaction_id="7"))
        backfill(adapter)
        ChargeAttempt.objects.update(gateway="sandbox", gateway_order_id="fs-1", state="voided")
        ImportRecord.objects.all().delete()
        UnifiedSession.objects.update(transaction_id=None)
        put(adapter.table, paid_row())

        backfill(adapter)

        states = ChargeAttempt.objects.values_list("gateway", "state", "transaction_id")
        assert sorted(states) == [
            ("imported", "succeeded", "3029929089"),
            ("sandbox", "voided", "7"),
        ]

    @pytest.mark.parametrize("state", ["refunded", "voided"])
    def test_an_extra_that_was_given_back_here_is_not_recorded_as_paid_again(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager, state: str
    ) -> None:
        extra = "upsell-1-serum"
        create(manager)
        process_checkout(manager, ID, key="pay", payment_token="tok_approve")
        process_upsell(manager, ID, key="extra", offer_id=extra, decision="accept")
        ChargeAttempt.objects.filter(purpose=f"upsell:{extra}").update(state=state)
        here = manager.get_session(ID, fresh=True)
        there = {"vault_id": here.vault_id, "transaction_id": here.transaction_id}
        put(adapter.table, paid_row(**there, customer_info={"firstName": "Ana", "phone": "1"}))

        assert counts(backfill(adapter)) == {"merged": 1}
        states = ChargeAttempt.objects.values_list("purpose", "state").order_by("purpose")
        assert list(states) == [("checkout", "succeeded"), (f"upsell:{extra}", state)]


class TestOfTwoSources:
    """Two tables that hold the same session."""

    @pytest.fixture
    def twin(self, adapter: DatabaseAdapter) -> DatabaseAdapter:
        twin = DatabaseAdapter(source="twin", alias="default", table="twin_sessions")
        create_table(twin.table)
        put(adapter.table, row())
        put(twin.table, row())
        backfill(adapter)
        backfill(twin)
        assert versions() == {"database": 1, "twin": 1}
        return twin

    def test_a_change_in_one_is_merged_and_both_go_on_from_there(
        self, adapter: DatabaseAdapter, twin: DatabaseAdapter
    ) -> None:
        put(twin.table, paid_row())

        assert counts(backfill(twin)) == {"merged": 1}
        assert session().transaction_id == "3029929089"
        assert versions() == {"database": 2, "twin": 2}
        assert counts(backfill(adapter)) == {"unchanged": 1}
        put(adapter.table, row(customer_info={"firstName": "Ana", "phone": "1"}))
        assert counts(backfill(adapter)) == {"merged": 1}
        assert session().transaction_id == "3029929089"
        assert versions() == {"database": 3, "twin": 3}

    def test_a_merge_does_not_hide_that_a_shopper_was_here(
        self, adapter: DatabaseAdapter, twin: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        ImportRecord.objects.filter(source="twin").delete()
        manager.update_session(ID, {"metadata": {"note": "here"}})
        put(twin.table, paid_row())

        assert counts(backfill(twin)) == {"merged": 1}
        assert versions() == {"database": 1, "twin": MIXED}
        put(adapter.table, row(email="there@example.org"))
        assert counts(backfill(adapter)) == {"conflicting": 1}


class TestOfALessTrustedSource:
    """A table, and a cache of all processes that holds the same sessions."""

    @pytest.fixture
    def entries(self) -> dict[str, dict[str, Any]]:
        now = get_clock().now()
        return {
            ID: {
                "id": ID,
                "email": "ana@example.org",
                "firstName": "Ana",
                "createdAt": int(now.timestamp() * 1000),
                "expiresAt": int((now + timedelta(minutes=30)).timestamp() * 1000),
            }
        }

    @pytest.fixture
    def cache(self, entries: dict[str, dict[str, Any]]) -> MemoryCacheAdapter:
        return MemoryCacheAdapter(source="memory_cache", mapping=entries, shared=True)

    def test_its_change_does_not_outvote_the_table(
        self,
        adapter: DatabaseAdapter,
        cache: MemoryCacheAdapter,
        entries: dict[str, dict[str, Any]],
    ) -> None:
        put(adapter.table, row(status="failed", created_at=a_minute_ago()))
        backfill(adapter)
        backfill(cache)
        entries[ID]["firstName"] = "Anna"

        assert counts(backfill(cache)) == {"merged": 1}
        assert (session().status, session().customer) == ("failed", {"firstName": "Anna"})

    def test_its_newer_card_counts(
        self,
        adapter: DatabaseAdapter,
        cache: MemoryCacheAdapter,
        entries: dict[str, dict[str, Any]],
    ) -> None:
        put(adapter.table, paid_row(created_at=a_minute_ago()))
        backfill(adapter)
        entries[ID] |= {"transactionId": "3029929089", "vaultId": "2", "lastVaultUpdate": 1e12}

        assert counts(backfill(cache)) == {"merged": 1}
        here = UnifiedSessionManager().get_session(ID, fresh=True)
        assert here.vault_id == ChargeAttempt.objects.get().vault_id == "2"


class TestTombstones:
    @pytest.mark.parametrize("forgets", [False, True])
    @pytest.mark.parametrize("email", ["ana@example.org", "changed@example.org"])
    def test_a_deleted_session_stays_dead(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager, email: str, forgets: bool
    ) -> None:
        put(adapter.table, row())
        backfill(adapter)
        manager.delete_session(ID)
        if forgets:
            ImportRecord.objects.all().delete()
        put(adapter.table, row(email=email))
        before = kinds()

        report = backfill(adapter)

        assert counts(report) == {"unchanged": 1}
        assert session().deleted_at is not None
        assert (session().email, session().customer) == (None, None)
        assert kinds() == before
        assert not ChargeAttempt.objects.exists()

    def test_a_deleted_session_with_a_payment_there_stays_dead(
        self, adapter: DatabaseAdapter, manager: UnifiedSessionManager
    ) -> None:
        put(adapter.table, row())
        backfill(adapter)
        manager.delete_session(ID)
        put(adapter.table, paid_row())

        assert counts(backfill(adapter)) == {"unchanged": 1}
        assert session().transaction_id is None


class TestUnreadable:
    def test_each_is_named_with_its_reason_and_the_rest_is_imported(
        self, adapter: DatabaseAdapter
    ) -> None:
        put(
            adapter.table,
            row(id="no-id"),
            row(id="ws_1_a", email=""),
            row(id="ws_1_b", status="initiated"),
            row(id="ws_1_c", expires_at=None),
            row(id="ws_1_d", created_at="infinity"),
            row(id="ws_1_e"),
        )

        report = backfill(adapter, batch_size=2)

        assert counts(report) == {"imported": 1, "unreadable": 5}
        assert {each.id: each.reason for each in report.unreadable} == {
            "no-id": "id does not have the form ws_<time>_<random>",
            "ws_1_a": "email is missing",
            "ws_1_b": (
                "status 'initiated' is none of pending, processing, completed, failed, expired"
            ),
            "ws_1_c": "expires_at is missing",
            "ws_1_d": "created_at is no date: 'infinity'",
        }
        assert list(UnifiedSession.objects.values_list("id", flat=True)) == ["ws_1_e"]

    def test_mended_there_it_is_imported(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, row(email=""))
        backfill(adapter)
        put(adapter.table, row())

        assert counts(backfill(adapter)) == {"imported": 1}

    def test_what_the_database_refuses_spoils_no_other_row(self, adapter: DatabaseAdapter) -> None:
        too_long = "upsell-1-" + "x" * 200
        put(
            adapter.table,
            row(id="ws_1_a"),
            paid_row(id="ws_1_b", upsells_accepted=[too_long]),
            paid_row(id="ws_1_c", transaction_id="7"),
        )

        report = backfill(adapter)

        assert counts(report) == {"imported": 2, "unreadable": 1}
        assert report.unreadable[0].id == "ws_1_b"
        assert report.unreadable[0].reason.startswith("the database refuses a value of it: value ")
        assert too_long not in report.unreadable[0].reason
        assert ImportRecord.objects.count() == UnifiedSession.objects.count() == 2
        assert counts(backfill(adapter)) == {"unchanged": 2, "unreadable": 1}

    def test_an_id_that_occurs_twice_is_imported_once(self, adapter: DatabaseAdapter) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_sessions DROP CONSTRAINT funnel_sessions_pkey")
        put(adapter.table, row())
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO funnel_sessions SELECT * FROM funnel_sessions")

        report = backfill(adapter)

        assert counts(report) == {"imported": 1, "unreadable": 1}
        assert report.unreadable[0].reason == "id occurs more than once"


class TestMoneyQuirks:
    def test_two_rows_with_one_transaction_are_both_paid(self, adapter: DatabaseAdapter) -> None:
        put(adapter.table, paid_row(), paid_row(id=OTHER))

        assert counts(backfill(adapter)) == {"imported": 2}
        states = set(ChargeAttempt.objects.values_list("session_id", "state"))
        assert states == {(ID, "succeeded"), (OTHER, "succeeded")}

    @pytest.mark.parametrize("amount", [None, "0", "-5.00"])
    def test_a_paid_row_without_a_sensible_amount_is_paid(
        self, adapter: DatabaseAdapter, amount: str | None
    ) -> None:
        put(adapter.table, paid_row(amount=amount))

        assert counts(backfill(adapter)) == {"imported": 1}
        assert ChargeAttempt.objects.get().amount is None


def test_a_limit_stops_the_run_and_the_next_goes_on(adapter: DatabaseAdapter) -> None:
    put(adapter.table, *(row(id=f"ws_1_{number}") for number in range(7)))
    told: list[int] = []

    first = backfill(adapter, batch_size=2, limit=5, advance=told.append)
    second = backfill(adapter, batch_size=2)

    assert told == [2, 2, 1]
    assert counts(first) == {"imported": 5}
    assert counts(second) == {"imported": 2, "unchanged": 5}


def test_two_sources_keep_their_own_records(adapter: DatabaseAdapter) -> None:
    put(adapter.table, row())
    backfill(adapter)

    twin = DatabaseAdapter(source="copy", alias="default")

    assert counts(backfill(twin)) == {"unchanged": 1}
    assert sorted(ImportRecord.objects.values_list("source", flat=True)) == ["copy", "database"]


@pytest.mark.django_db(databases=["default", "legacy"])
@pytest.mark.parametrize("offers", ["text[]", "jsonb"])
def test_from_a_database_of_its_own(elsewhere: str, redis_flush: None, offers: str) -> None:
    adapter = DatabaseAdapter(source="database", alias="legacy")
    create_table(adapter.table, offers=offers)
    put(adapter.table, paid_row(upsells_accepted=["upsell-1-serum"]))

    assert counts(backfill(adapter)) == {"imported": 1}
    assert session().upsells == {"accepted": ["upsell-1-serum"]}
    assert counts(backfill(adapter)) == {"unchanged": 1}

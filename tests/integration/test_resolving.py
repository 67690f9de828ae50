"""A person decides on conflicts: what may be taken, what is refused, and who is told so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.db import connections

from legacy_adapters.conf import get_adapter
from legacy_adapters.conflicts.resolving import Decision, Shown, keep_ours, take_theirs
from legacy_adapters.conflicts.takeable import TAKEABLE, obstacle, whole_obstacle
from legacy_adapters.database.store import Table
from legacy_adapters.exceptions import ResolutionRefusedError
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.migration.importing.records import DECIDED, MIXED
from legacy_adapters.models import ImportRecord, SessionConflict
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.importing import import_sessions
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.legacy import create_table, paid_row, put, row
from tests.sessions import snapshot

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from legacy_adapters.base import LegacyRecord
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

TABLE = Table(alias="default", name="funnel_sessions")
ID = row()["id"]
WHY = Decision(by="ada", reason="Asked the shopper")


@pytest.fixture(autouse=True)
def one_store(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {
        "database": {"ADAPTER": "legacy_adapters.database.DatabaseAdapter", "ALIAS": "default"}
    }


def conflicting(theirs: dict[str, Any], **ours: Any) -> SessionConflict:
    """Put a record and a session that contradict each other; return the conflict as noted."""
    adapter = get_adapter("database")
    create_table(TABLE)
    put(TABLE, row())
    session = msgspec.structs.replace(adapter.to_unified(peeked()), **ours)
    import_sessions(get_tiers(), [session], source="database")
    put(TABLE, theirs)
    return SessionConflict.objects.create(
        source="database",
        session_id=theirs["id"],
        digest=peeked().digest,
        fields=["email"],
        evidence=[{"field": "email", "rule": "email", "blocks": True}],
        seen_at=get_clock().now(),
    )


def peeked() -> LegacyRecord:
    record = get_adapter("database").peek(ID)
    assert record is not None
    return record


def shown(conflict: SessionConflict) -> Shown:
    return Shown(version=here().version, digest=conflict.digest)


def here() -> UnifiedSession:
    return UnifiedSession.objects.get(pk=ID)


def staff() -> UnifiedSessionManager:
    manager = get_manager("admin")
    manager.actor = "staff:7"
    return manager


def take(conflict: SessionConflict, *fields: str) -> SessionSnapshot:
    return take_theirs(staff(), conflict.pk, shown(conflict), fields, WHY)


class TestKeeping:
    def test_the_session_stands_and_the_record_is_known(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        before = here()

        keep_ours(conflict.pk, shown(conflict), WHY)

        conflict.refresh_from_db()
        assert (conflict.state, conflict.resolved_by, conflict.reason) == (
            "kept",
            "ada",
            WHY.reason,
        )
        assert conflict.resolved_at is not None
        assert (here().version, here().email) == (before.version, "ana@example.org")
        known = ImportRecord.objects.get()
        assert (known.digest, known.unified_version) == (conflict.digest, DECIDED)

    def test_whoever_comes_second_is_refused(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        keep_ours(conflict.pk, shown(conflict), WHY)

        with pytest.raises(ResolutionRefusedError, match="Somebody else has decided"):
            keep_ours(conflict.pk, shown(conflict), Decision(by="bob", reason="Me too"))

        conflict.refresh_from_db()
        assert conflict.resolved_by == "ada"

    def test_a_session_that_moved_on_is_refused(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        seen = shown(conflict)
        get_manager().update_session(ID, {"email": "other@example.org"})

        with pytest.raises(ResolutionRefusedError, match="session has changed"):
            keep_ours(conflict.pk, seen, WHY)

        conflict.refresh_from_db()
        assert conflict.state == "open"
        assert not ImportRecord.objects.exists()

    def test_a_record_that_nobody_has_shown_is_refused(self) -> None:
        conflict = conflicting(row(email="new@example.org"))

        with pytest.raises(ResolutionRefusedError, match="legacy record has changed"):
            keep_ours(conflict.pk, Shown(version=here().version, digest="f" * 64), WHY)

    def test_a_newer_record_than_noted_may_be_decided_on_if_it_was_shown(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        put(TABLE, row(email="newer@example.org"))

        keep_ours(conflict.pk, Shown(version=here().version, digest=peeked().digest), WHY)

        assert ImportRecord.objects.get().digest == peeked().digest

    def test_a_tombstone_is_kept(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        get_manager().delete_session(ID)

        keep_ours(conflict.pk, Shown(version=None, digest=conflict.digest), WHY)

        conflict.refresh_from_db()
        assert conflict.state == "kept"


class TestTheNextBackfill:
    """A customer's city is nothing that the merge's own rules would ask a person about."""

    @pytest.fixture
    def decided(self) -> SessionConflict:
        conflict = conflicting(row(customer_info={"firstName": "Eve", "city": "Porto"}))
        keep_ours(conflict.pk, shown(conflict), WHY)
        return conflict

    def test_the_same_record_is_not_met_again(self, decided: SessionConflict) -> None:
        report = backfill(get_adapter("database"))

        assert (report.unchanged, report.conflicts) == (1, [])
        decided.refresh_from_db()
        assert (decided.state, decided.resolved_by) == ("kept", "ada")

    def test_another_state_of_it_opens_the_conflict_again(self, decided: SessionConflict) -> None:
        put(TABLE, row(customer_info={"firstName": "Eve", "city": "Lisboa"}))

        report = backfill(get_adapter("database"))

        assert len(report.conflicts) == 1
        decided.refresh_from_db()
        assert (decided.state, decided.resolved_by) == ("open", "")
        assert here().customer == {"firstName": "Ana"}


class TestLettingIn:
    @pytest.fixture
    def kept_out(self, settings: SettingsWrapper) -> SessionConflict:
        """Return the conflict of a session that is not here, since two stores contradict."""
        other = Table(alias="default", name="other_sessions")
        adapter = "legacy_adapters.database.DatabaseAdapter"
        settings.LEGACY_ADAPTERS = {
            "database": {"ADAPTER": adapter, "ALIAS": "default"},
            "other": {"ADAPTER": adapter, "ALIAS": "default", "TABLE": other.name},
        }
        for table, email in ((TABLE, "ana@example.org"), (other, "new@example.org")):
            create_table(table)
            put(table, row(email=email))
        record = get_adapter("other").peek(ID)
        assert record is not None
        return SessionConflict.objects.create(
            source="other",
            session_id=ID,
            digest=record.digest,
            fields=["email"],
            seen_at=get_clock().now(),
        )

    def test_to_keep_ours_lets_the_session_in(self, kept_out: SessionConflict) -> None:
        keep_ours(kept_out.pk, Shown(version=None, digest=kept_out.digest), WHY)

        assert here().email == "ana@example.org"
        versions = dict(ImportRecord.objects.values_list("source", "unified_version"))
        assert versions == {"database": 1, "other": DECIDED}

    def test_where_no_other_store_knows_it_nothing_is_decided(
        self, kept_out: SessionConflict
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("DELETE FROM funnel_sessions")

        with pytest.raises(ResolutionRefusedError, match="Nothing was imported"):
            keep_ours(kept_out.pk, Shown(version=None, digest=kept_out.digest), WHY)

        kept_out.refresh_from_db()
        assert kept_out.state == "open"

    def test_its_own_record_is_not_taken(self, kept_out: SessionConflict) -> None:
        shown_then = Shown(version=None, digest=kept_out.digest)

        with pytest.raises(ResolutionRefusedError):
            take_theirs(staff(), kept_out.pk, shown_then, ["email"], WHY)

        assert not UnifiedSession.objects.exists()

    def test_a_tombstone_is_never_let_in(self, kept_out: SessionConflict) -> None:
        import_sessions(get_tiers(), [snapshot(id=ID)], source="database")
        get_manager().delete_session(ID)

        keep_ours(kept_out.pk, Shown(version=None, digest=kept_out.digest), WHY)

        assert here().deleted_at is not None


class TestTaking:
    def test_the_chosen_fields_are_written_under_the_persons_name(self) -> None:
        customer = {"firstName": "Anna", "city": "Porto"}
        conflict = conflicting(row(email="new@example.org", customer_info=customer))

        after = take(conflict, "email", "customer")

        stored = here()
        assert (stored.email, stored.customer) == ("new@example.org", customer)
        assert stored.version == after.version
        event = SessionEvent.objects.latest("position")
        assert (event.kind, event.actor) == ("session_merged", "staff:7")
        assert event.data == {"source": "database", "decision": "taken"}
        assert sorted(event.changed) == ["customer", "email"]
        conflict.refresh_from_db()
        assert (conflict.state, conflict.resolved_by) == ("taken", "ada")

    def test_where_all_is_taken_the_record_is_merged_again(self) -> None:
        conflict = conflicting(row(email="new@example.org"))

        take(conflict, "email")

        assert ImportRecord.objects.get().unified_version == MIXED

    def test_where_some_is_taken_it_is_not(self) -> None:
        conflict = conflicting(row(email="new@example.org", customer_info={"firstName": "Eve"}))

        take(conflict, "email")

        assert ImportRecord.objects.get().unified_version == DECIDED

    def test_a_payment_is_recorded_so_that_it_is_never_charged_again(self) -> None:
        from funnel.payments.models import ChargeAttempt

        conflict = conflicting(paid_row())

        take(conflict, "transaction_id", "vault_id", "status", "current_step")

        attempt = ChargeAttempt.objects.get(session_id=ID)
        assert (attempt.state, attempt.transaction_id) == ("succeeded", "3029929089")
        assert (here().status, here().current_step) == ("processing", "upsell-1")

    def test_the_caches_learn_of_it(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        get_manager().get_session(ID)

        take(conflict, "email")

        assert get_manager().get_session(ID, fresh=True).email == "new@example.org"

    def test_a_session_that_moved_on_is_not_written(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        seen = shown(conflict)
        get_manager().update_session(ID, {"email": "other@example.org"})

        with pytest.raises(ResolutionRefusedError, match="session has changed"):
            take_theirs(staff(), conflict.pk, seen, ["email"], WHY)

        assert here().email == "other@example.org"

    def test_a_record_that_moved_on_is_not_taken(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        put(TABLE, row(email="newer@example.org"))

        with pytest.raises(ResolutionRefusedError, match="legacy record has changed"):
            take(conflict, "email")

        assert here().email == "ana@example.org"

    def test_a_deleted_session_is_not_written(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        seen = shown(conflict)
        get_manager().delete_session(ID)

        with pytest.raises(ResolutionRefusedError, match="session has changed"):
            take_theirs(staff(), conflict.pk, seen, ["email"], WHY)

        assert here().email is None

    def test_a_held_session_is_not_written(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        with get_manager().lock_session(ID) as locked:
            locked.hold()

        with pytest.raises(ResolutionRefusedError, match="held"):
            take(conflict, "email")

        assert here().email == "ana@example.org"

    def test_whoever_comes_second_writes_nothing(self) -> None:
        conflict = conflicting(row(email="new@example.org"))
        keep_ours(conflict.pk, shown(conflict), WHY)

        with pytest.raises(ResolutionRefusedError, match="Somebody else has decided"):
            take(conflict, "email")

        assert here().email == "ana@example.org"

    @pytest.mark.parametrize("field", ["amount", "transaction_id", "vault_id"])
    def test_money_of_ours_is_never_overwritten(self, field: str) -> None:
        ours = {"status": "processing", "current_step": "upsell-1", "transaction_id": "1111"}
        theirs = paid_row(amount="99.00", vault_id="117041394")
        conflict = conflicting(theirs, **ours, vault_id="22222222")

        with pytest.raises(ResolutionRefusedError, match="authority"):
            take(conflict, field)

        assert (here().transaction_id, str(here().amount)[:5]) == ("1111", "12.50")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_wins() -> None:
    conflict = conflicting(row(email="new@example.org"))
    seen, barrier, outcomes = shown(conflict), threading.Barrier(2), []

    def decide(name: str) -> None:
        barrier.wait(60)
        try:
            if name == "ada":
                keep_ours(conflict.pk, seen, Decision(by=name, reason="Mine"))
            else:
                why = Decision(by=name, reason="Theirs")
                take_theirs(staff(), conflict.pk, seen, ["email"], why)
            outcomes.append(name)
        except ResolutionRefusedError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=[name]) for name in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    conflict.refresh_from_db()
    assert sorted(outcomes) in (["ada", "refused"], ["bob", "refused"])
    assert conflict.resolved_by in outcomes
    taken = here().email == "new@example.org"
    assert taken == (conflict.state == "taken")
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP TABLE funnel_sessions")


def _lines(ids: list[str]) -> list[dict[str, Any]]:
    return [{"id": each, "quantity": 1} for each in ids]


class TestRules:
    OURS = snapshot(amount="10.00", email="a@example.org")
    THEIRS = snapshot(amount="12.00", email="b@example.org")

    @pytest.mark.parametrize("name", ["metadata", "payment_token", "created_at", "currency", "id"])
    def test_some_fields_are_never_taken(self, name: str) -> None:
        assert obstacle(name, self.OURS, self.THEIRS, is_held=False)

    @pytest.mark.parametrize("name", TAKEABLE)
    def test_nothing_is_taken_while_held(self, name: str) -> None:
        assert "held" in obstacle(name, snapshot(), self.THEIRS, is_held=True)

    @pytest.mark.parametrize("name", TAKEABLE)
    def test_all_may_be_taken_where_ours_is_empty(self, name: str) -> None:
        assert not obstacle(name, snapshot(), self.THEIRS, is_held=False)

    def test_an_amount_of_another_currency(self) -> None:
        theirs = snapshot(amount="12.00", currency="EUR")

        assert "currency" in obstacle("amount", snapshot(), theirs, is_held=False)

    def test_extras_of_ours_stand(self) -> None:
        ours = snapshot(upsells={"accepted": ["lamp"]})

        assert "authority" in obstacle("upsells", ours, self.THEIRS, is_held=False)

    @pytest.mark.parametrize("name", ["products", "status", "current_step"])
    def test_a_paid_session_is_not_led_back(self, name: str) -> None:
        ours = snapshot(transaction_id="1", status="processing", current_step="upsell-2")

        assert "paid" in obstacle(name, ours, self.THEIRS, is_held=False)

    def test_a_paid_session_may_go_on(self) -> None:
        ours = snapshot(transaction_id="1", status="processing", current_step="upsell-1")
        theirs = snapshot(transaction_id="1", status="completed", current_step="success")

        assert not obstacle("status", ours, theirs, is_held=False)

    def test_prices_of_another_currency(self) -> None:
        theirs = snapshot(currency="EUR")

        assert "currency" in obstacle("products", snapshot(), theirs, is_held=False)

    @pytest.mark.parametrize(
        ("ours", "fields", "is_refused"),
        [
            ({"products": ["SOIL"], "amount": "12.50"}, ["products"], True),
            ({"products": ["SOIL"], "amount": "89.00"}, ["products"], False),
            ({"products": ["SOIL"]}, ["products"], False),
            ({"products": ["SOIL"]}, ["amount"], True),
            ({"products": ["SOIL"]}, ["amount", "products"], False),
            ({"products": ["LAMP"]}, ["amount"], False),
            ({}, ["amount"], False),
        ],
    )
    def test_no_amount_stands_under_products_of_the_other_side(
        self, ours: dict[str, Any], fields: list[str], is_refused: bool
    ) -> None:
        here = snapshot(**ours | {"products": _lines(ours.get("products", []))})
        theirs = snapshot(products=_lines(["LAMP"]), amount="89.00")

        found = whole_obstacle(here, theirs, fields)

        assert ("belongs to its own products" in found) == is_refused

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            (["status"], "do not go together"),
            (["status", "current_step"], ""),
            (["transaction_id"], "cannot be at pending/checkout"),
            (["upsells"], "need a paid order"),
            (["transaction_id", "status", "current_step", "upsells"], ""),
        ],
    )
    def test_what_belongs_together(self, fields: list[str], problem: str) -> None:
        theirs = snapshot(
            transaction_id="1",
            status="processing",
            current_step="upsell-2",
            upsells={"accepted": ["lamp"]},
        )

        found = whole_obstacle(snapshot(), theirs, fields)

        assert problem in found
        assert bool(problem) == bool(found)

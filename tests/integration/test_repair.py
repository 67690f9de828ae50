"""Repair: one side's state copied to the other, whatever was in the way, and what is paid kept."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from funnel.payments.models import ChargeAttempt
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.migration.repair import working
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.repair.payments import PaymentContradictedError
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.models import ImportRecord, WriteMark
from legacy_adapters.tasks import repair_marked
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError, SessionHeldError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.sealing import unseal
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import get_tiers
from tests.charges import answer, attempts, paid, states
from tests.legacy import paid_row, put
from tests.managing import elsewhere, in_threads, wait_for
from tests.migrating import legacy_row, marked, migrating_shop, table, to_stage
from tests.repairs import all_marks, change_here, change_there, created, differences, here, mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.tiers import Tiers
    from tests.managing import MakeTiers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gateway")]
committed = pytest.mark.django_db(transaction=True)

SIDES = [Side.LEGACY, Side.UNIFIED]
ID = "ws_mwo5wwds_2"


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        to_stage("dual_write")
        yield


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(get_clock().now())


@pytest.fixture
def tiers(make_tiers: MakeTiers, clock: FrozenClock) -> Tiers:
    """Return a worker's tiers, whose clock stands still."""
    return make_tiers(clock=clock)


def mend(session_id: str) -> bool:
    return repair(get_tiers(), session_id)


def hold(session_id: str) -> None:
    with UnifiedSessionManager().lock_session(session_id) as locked:
        locked.hold()


class TestState:
    @pytest.mark.parametrize("side", SIDES)
    def test_it_is_copied_from_the_marks_side(self, side: Side) -> None:
        session_id = created(metadata={"campaign": "spring"}, currency="EUR")
        mark(session_id, side)
        if side is Side.LEGACY:
            change_there(session_id, email="eva@example.org")
        else:
            change_here(session_id, email="eva@example.org")

        assert mend(session_id)

        found = legacy_row(session_id)
        assert found is not None
        assert (found["email"], here(session_id).email) == ("eva@example.org", "eva@example.org")
        assert (here(session_id).metadata, here(session_id).currency) == (
            {"campaign": "spring"},
            "EUR",
        )
        assert marked(session_id) is None
        assert differences(session_id) == ()

    @pytest.mark.parametrize("is_held", [False, True])
    def test_a_session_starts_over_with_the_old_shop_unless_a_charge_is_open(
        self, *, is_held: bool
    ) -> None:
        session_id = created()
        at_payment = {"status": "processing", "current_step": "processing"}
        get_manager("session.detail").update_session(session_id, at_payment)
        if is_held:
            hold(session_id)
        change_there(session_id, status="pending", current_step="checkout")
        mark(session_id, Side.LEGACY)

        mend(session_id)

        expected = at_payment if is_held else {"status": "pending", "current_step": "checkout"}
        found, ours = legacy_row(session_id), here(session_id)
        assert found is not None
        assert {"status": ours.status, "current_step": ours.current_step} == expected
        assert {name: found[name] for name in expected} == expected
        assert marked(session_id) is None

    @pytest.mark.parametrize("side", SIDES)
    def test_a_backfill_knows_the_record_from_then_on(self, side: Side) -> None:
        session_id = created()
        mark(session_id, side)

        mend(session_id)

        record = table().peek(session_id)
        assert record is not None
        known = ImportRecord.objects.get(session_id=session_id)
        assert (known.source, known.digest, known.unified_version) == ("database", record.digest, 0)

    @committed
    def test_it_is_on_the_log_and_published(self) -> None:
        session_id = created()
        UnifiedSessionManager().get_session(session_id)
        mark(session_id, Side.LEGACY)
        change_there(session_id, email="eva@example.org")

        mend(session_id)

        event = SessionEvent.objects.filter(session_id=session_id).latest("seq")
        assert (event.kind, event.actor, event.changed) == ("session_repaired", "repair", ["email"])
        assert event.seq == here(session_id).version
        assert UnifiedSessionManager().get_session(session_id).email == "eva@example.org"

    @pytest.mark.parametrize("side", SIDES)
    def test_repeating_it_changes_nothing(self, side: Side) -> None:
        session_id = created()
        change_there(session_id, email="eva@example.org")
        mark(session_id, side)
        mend(session_id)
        version, row = here(session_id).version, legacy_row(session_id)

        assert not mend(session_id)
        mark(session_id, Side.LEGACY)
        assert mend(session_id)

        assert (here(session_id).version, legacy_row(session_id)) == (version, row)

    def test_the_order_of_repairs_and_of_their_wake_ups_does_not_matter(self) -> None:
        to_stage("live")
        ids = [created() for _ in range(3)]
        for number, session_id in enumerate([*ids, *ids, *ids]):
            change_here(session_id, email=f"{number}@example.org")
            mark(session_id, Side.UNIFIED)
            if number % 2:
                mend(ids[number % 3 - 1])

        for session_id in reversed(ids):
            mend(session_id)

        assert all_marks() == []
        assert [differences(session_id) for session_id in ids] == [(), (), ()]
        assert [here(each).email for each in ids] == [f"{n}@example.org" for n in (6, 7, 8)]

    def test_a_row_that_is_missing_is_made(self) -> None:
        session_id = created()
        table().delete(session_id)
        mark(session_id, Side.UNIFIED)
        put(table().table, paid_row(id=ID))
        mark(ID, Side.LEGACY)

        mend(session_id)
        mend(ID)

        assert differences(session_id) == differences(ID) == ()
        assert states(ID) == ["succeeded"]

    @pytest.mark.parametrize("side", SIDES)
    def test_missing_on_both_sides_there_is_nothing_to_do(self, side: Side) -> None:
        mark(ID, side)

        assert mend(ID)

        assert marked(ID) is None
        assert not UnifiedSession.objects.filter(pk=ID).exists()


class TestDeleted:
    @pytest.mark.parametrize("side", SIDES)
    def test_a_tombstone_outlives_whatever_the_mark_says(self, side: Side) -> None:
        session_id = created()
        UnifiedSessionManager().delete_session(session_id)
        mark(session_id, side)

        mend(session_id)

        assert legacy_row(session_id) is None
        assert here(session_id).deleted_at is not None
        assert marked(session_id) is None

    def test_deleted_there_it_becomes_one(self) -> None:
        session_id = created()
        mark(session_id, Side.LEGACY)
        table().delete(session_id)

        mend(session_id)

        assert here(session_id).deleted_at is not None
        assert SessionEvent.objects.filter(session_id=session_id).latest("seq").kind == (
            "session_deleted"
        )

    def test_not_while_a_charge_is_open(self) -> None:
        session_id = created()
        hold(session_id)
        mark(session_id, Side.LEGACY)
        table().delete(session_id)

        with pytest.raises(SessionHeldError):
            mend(session_id)

        assert here(session_id).deleted_at is None
        assert marked(session_id) == Side.LEGACY


class TestUnreadable:
    def test_a_record_that_cannot_be_read_is_not_gone(self) -> None:
        session_id = created()
        mark(session_id, Side.LEGACY)
        change_there(session_id, email="none")

        with pytest.raises(UnreadableRecordError):
            mend(session_id)

        assert here(session_id).deleted_at is None
        assert marked(session_id) == Side.LEGACY

    def test_our_side_writes_it_whole(self) -> None:
        session_id = created()
        mark(session_id, Side.UNIFIED)
        change_there(session_id, email="none", transaction_id="999", customer_info='{"a": "b"}')

        mend(session_id)

        assert differences(session_id) == ()
        assert marked(session_id) is None


class TestPastItsEnd:
    def test_it_is_settled_here(self) -> None:
        session_id = created()
        mark(session_id, Side.LEGACY)
        change_there(session_id, expires_at=get_clock().now() - timedelta(seconds=1))

        mend(session_id)

        assert here(session_id).status == "expired"
        assert differences(session_id) == ()

    def test_settled_already_it_stays_so(self) -> None:
        session_id = created()
        change_there(session_id, expires_at=get_clock().now() - timedelta(seconds=1))
        mark(session_id, Side.LEGACY)
        mend(session_id)
        version = here(session_id).version

        mark(session_id, Side.LEGACY)
        mend(session_id)

        assert here(session_id).version == version


class TestWhatIsPaid:
    def undo_there(self, session_id: str) -> None:
        """Write an old copy back over the session, as the old code's last word wins."""
        change_there(
            session_id,
            status="pending",
            current_step="checkout",
            transaction_id=None,
            vault_id=None,
            upsells_accepted=[],
            upsells_declined=["upsell-1-serum"],
        )
        mark(session_id, Side.LEGACY)

    def test_an_old_copy_undoes_nothing_and_is_mended(self) -> None:
        session_id = paid()
        answer(session_id, "upsell-1-serum")
        before, money = here(session_id), states(session_id)
        self.undo_there(session_id)

        mend(session_id)

        after, found = here(session_id), legacy_row(session_id)
        assert found is not None
        for name in ("transaction_id", "status", "current_step"):
            assert getattr(after, name) == getattr(before, name) == found[name], name
        assert after.upsells == before.upsells
        assert unseal(after.vault_id) == unseal(before.vault_id) == found["vault_id"]
        assert found["upsells_accepted"] == ["upsell-1-serum"]
        assert differences(session_id) == ()
        assert states(session_id) == money

    @pytest.mark.parametrize("state", ["surplus", "refunded", "voided", "claimed", "needs_review"])
    def test_a_copy_of_our_own_charge_is_never_another_payment(self, state: str) -> None:
        session_id = paid()
        found = ChargeAttempt.objects.filter(session_id=session_id)
        is_open = state in ChargeAttempt.OPEN
        now = get_clock().now()
        found.update(
            state=state,
            settled_at=None if is_open else now,
            review_since=now if state == "needs_review" else None,
        )
        if state == "surplus":  # of a session that another charge has paid
            succeeded = attempts(session_id)[0]
            succeeded.pk, succeeded.state = None, "succeeded"
            succeeded.gateway_order_id, succeeded.transaction_id = "another", "another"
            succeeded.save()
            change_here(session_id, transaction_id="another")
            change_there(session_id, transaction_id="another")
        before = states(session_id)
        change_there(session_id, email="eva@example.org")
        mark(session_id, Side.LEGACY)

        mend(session_id)

        assert here(session_id).email == "eva@example.org"
        assert states(session_id) == before

    def test_a_payment_there_is_on_record_here(self) -> None:
        session_id = created()
        change_there(
            session_id,
            status="processing",
            current_step="upsell-2",
            transaction_id="302",
            upsells_accepted=["upsell-1-serum"],
        )
        mark(session_id, Side.LEGACY)

        mend(session_id)

        assert {(each.purpose, each.state, each.gateway) for each in attempts(session_id)} == {
            ("checkout", "succeeded", "imported"),
            ("upsell:upsell-1-serum", "succeeded", "imported"),
        }

    def test_another_payment_is_for_a_person(self) -> None:
        session_id = paid()
        before = here(session_id).transaction_id
        change_there(session_id, transaction_id="999")
        mark(session_id, Side.LEGACY)

        with pytest.raises(PaymentContradictedError):
            mend(session_id)

        found = legacy_row(session_id)
        assert found is not None
        assert (here(session_id).transaction_id, found["transaction_id"]) == (before, "999")
        assert marked(session_id) == Side.LEGACY


@committed
class TestTogether:
    @pytest.mark.parametrize("stage", ["dual_write", "live"])
    def test_writers_and_repairs_never_overtake_each_other(self, stage: str) -> None:
        to_stage(stage)
        session_id = created()

        def write(name: str) -> None:
            emails = [f"{name}.{number}@example.org" for number in range(15)]
            while emails:
                # One whose mark is cleared under its hands again and again is told to try again.
                with suppress(DatabaseUnavailableError):
                    manager = get_manager("session.detail")
                    manager.update_session(session_id, {"email": emails[0]})
                    del emails[0]

        def keep_mending() -> None:
            for _ in range(20):
                repair(get_tiers(), session_id)

        writers = (partial(write, name) for name in ("ana", "eva"))
        assert in_threads(*writers, keep_mending, keep_mending) == []

        mend(session_id)
        log = SessionEvent.objects.filter(session_id=session_id).order_by("seq")
        assert differences(session_id) == ()
        assert [event.seq for event in log] == list(range(1, here(session_id).version + 1))
        assert marked(session_id) is None

    def test_a_write_waits_for_the_repair_under_way(self) -> None:
        to_stage("live")
        session_id = created()
        change_here(session_id, email="old@example.org")
        mark(session_id, Side.UNIFIED)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

        def waiting() -> int:
            with connection.cursor() as cursor:
                cursor.execute(waits)
                return int(cursor.fetchone()[0])

        def write() -> None:
            manager = get_manager("session.detail")
            manager.update_session(session_id, {"email": "new@example.org"})

        sql = "SELECT 1 FROM funnel_sessions WHERE id = %s FOR UPDATE"
        with elsewhere(sql, [session_id]):
            mending = threading.Thread(target=in_threads, args=[lambda: mend(session_id)])
            mending.start()
            wait_for(lambda: waiting() == 1)
            writing = threading.Thread(target=in_threads, args=[write])
            writing.start()
            wait_for(lambda: waiting() == 2)
            assert here(session_id).email == "old@example.org"
        mending.join(60)
        writing.join(60)

        found = legacy_row(session_id)
        assert found is not None
        assert (here(session_id).email, found["email"]) == ("new@example.org", "new@example.org")


@committed
class TestWorker:
    def test_it_repairs_what_is_due(self, tiers: Tiers, clock: FrozenClock) -> None:
        ids = [created() for _ in range(3)]
        for session_id in ids:
            change_there(session_id, email="eva@example.org")
            mark(session_id, Side.LEGACY)

        assert working.repair_due(tiers) == 0  # the writes may be under way
        clock.advance(seconds=6)

        assert working.repair_due(tiers, limit=1) == 1
        assert working.repair_due(tiers, seconds=60) == 2
        assert [here(each).email for each in ids] == ["eva@example.org"] * 3
        assert all_marks() == []

    def test_what_one_has_claimed_another_leaves_until_the_lease_is_over(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        mark(created(), Side.LEGACY)
        clock.advance(seconds=6)
        assert len(working._claim(tiers, 20)) == 1  # and then it dies

        assert working.repair_due(tiers) == 0
        assert not working.is_due(tiers)
        clock.advance(seconds=working.LEASE_SECONDS)

        assert working.is_due(tiers)
        assert working.repair_due(tiers) == 1

    def test_what_it_does_not_come_to_is_another_s_at_once(
        self, tiers: Tiers, clock: FrozenClock
    ) -> None:
        mark(created(), Side.LEGACY)
        clock.advance(seconds=6)

        assert working.repair_due(tiers, seconds=-1) == 0  # its time is up

        assert working.is_due(tiers)
        assert working.repair_due(tiers) == 1

    def test_failures_are_tried_ever_later_and_at_last_left_to_a_person(
        self, tiers: Tiers, clock: FrozenClock, settings: SettingsWrapper
    ) -> None:
        settings.MIGRATION = settings.MIGRATION | {"REPAIR_MAX_ATTEMPTS": 3}
        session_id = created()
        mark(session_id, Side.LEGACY)
        change_there(session_id, email="none")
        clock.advance(seconds=6)
        waits = []
        for chance in (0.0, 1.0, 0.0):
            assert working.repair_due(tiers, chance=lambda: chance) == 0  # noqa: B023
            found = WriteMark.objects.get()
            waits.append((found.due_at - clock.now()).total_seconds())
            clock.advance(seconds=waits[-1])

        assert waits == [2.5, 10, 10]
        assert found.is_dead
        assert found.attempts == 3
        assert found.problem.startswith("UnreadableRecordError: ")
        assert "example" not in found.problem
        clock.advance(days=1)
        assert working.repair_due(tiers) == 0

    def test_a_person_has_it_tried_again(self, tiers: Tiers, clock: FrozenClock) -> None:
        session_id = created()
        mark(session_id, Side.LEGACY)
        WriteMark.objects.update(is_dead=True, attempts=12, problem="X", due_at=clock.now())

        assert working.repair_due(tiers) == 0
        assert working.again(tiers, [session_id, "ws_other"]) == 1
        found = WriteMark.objects.get()
        assert (found.attempts, found.problem, found.is_dead) == (0, "", False)
        assert working.repair_due(tiers) == 1

    def test_a_side_that_is_down_kills_no_mark_and_wastes_no_time(
        self, tiers: Tiers, clock: FrozenClock, settings: SettingsWrapper
    ) -> None:
        settings.MIGRATION = settings.MIGRATION | {"REPAIR_MAX_ATTEMPTS": 1}
        for _ in range(5):
            mark(created(), Side.LEGACY)
        clock.advance(seconds=6)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_sessions RENAME TO away")
            assert working.repair_due(tiers) == 0
            cursor.execute("ALTER TABLE away RENAME TO funnel_sessions")

        assert [each.attempts for each in all_marks()] == [0] * 5
        assert sum(bool(each.problem) for each in all_marks()) == 3
        assert not any(each.is_dead for each in all_marks())
        assert working.repair_due(tiers) == 2  # those that it did not come to
        clock.advance(seconds=working.LEASE_SECONDS)
        assert working.repair_due(tiers) == 3

    def test_a_failure_is_not_noted_over_a_write_of_after(self, tiers: Tiers) -> None:
        session_id = created()
        mark(session_id, Side.LEGACY)
        claim = working._Claim(
            session_id=session_id, generation=1, attempts=11, lease_until=get_clock().now()
        )
        mark(session_id, Side.LEGACY)

        working._note(tiers, claim, ValueError("ana@example.org"), 0.5)

        found = WriteMark.objects.get()
        assert (found.generation, found.attempts, found.is_dead) == (2, 0, False)

    def test_what_waits_is_counted(self, tiers: Tiers, clock: FrozenClock) -> None:
        assert working.backlog(tiers) == working.Backlog(
            waiting=0, dead=0, oldest_at=None, by_side={}
        )
        mark("ws_1", Side.LEGACY)
        mark("ws_2", Side.UNIFIED)
        mark("ws_3", Side.UNIFIED)
        WriteMark.objects.filter(pk="ws_3").update(is_dead=True, marked_at=clock.now())

        found = working.backlog(tiers)

        assert (found.waiting, found.dead, found.oldest_at) == (2, 1, clock.now())
        assert found.by_side == {Side.LEGACY: 1, Side.UNIFIED: 2}

    def test_the_task_repairs_and_wakes_itself_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        woken: list[dict[str, object]] = []
        monkeypatch.setattr(repair_marked, "apply_async", lambda **options: woken.append(options))
        monkeypatch.setattr("legacy_adapters.tasks.is_due", lambda _: True)
        session_id = created()
        for wakes in (True, False):
            change_there(session_id, email=f"{wakes}@example.org")
            mark(session_id, Side.LEGACY)
            WriteMark.objects.update(due_at=get_clock().now())

            assert repair_marked(wakes=wakes) == 1
            assert here(session_id).email == f"{wakes}@example.org"

        assert repair_marked() == 0
        assert [each["kwargs"] for each in woken] == [{"wakes": False}]

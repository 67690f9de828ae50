"""The commands on sessions, as an operator runs them: what they print, and what they refuse."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from legacy_adapters.conf import get_adapter
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.database.store import Table
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.importing import import_sessions
from sessions_unified.links import redeem_link
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, SessionLink, UnifiedSession
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep import pacing, sweeping
from sessions_unified.upkeep.load import Condition
from tests.legacy import create_table, paid_row, put, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

TABLE = Table(alias="default", name="funnel_sessions")
ORDER: dict[str, Any] = {
    "email": "ana@example.org",
    "customer": {"firstName": "Zoë", "address": {"city": "Springfield"}},
    "products": [{"id": "SOIL", "name": "Living Soil 5L", "price": "12.50", "quantity": 2}],
    "amount": 25,
}


def run(command: str, *arguments: str) -> list[str]:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def manager() -> UnifiedSessionManager:
    return UnifiedSessionManager()


@pytest.fixture
def session(manager: UnifiedSessionManager) -> SessionSnapshot:
    return manager.create_session(**ORDER)


def past_end(session_id: str, **fields: Any) -> None:
    long_ago = timezone.now() - timedelta(days=200)
    UnifiedSession.objects.filter(pk=session_id).update(
        **{"created_at": long_ago, "updated_at": long_ago, "expires_at": long_ago, **fields}
    )


def age_events(session_id: str) -> None:
    """Make a session's log two years older, which its trigger refuses to everyone else."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        SessionEvent.objects.filter(session_id=session_id).update(
            at=timezone.now() - timedelta(days=730)
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


class TestSessionLink:
    def test_its_last_line_is_a_link_that_opens_the_session_once(
        self, session: SessionSnapshot
    ) -> None:
        lines = run("session_link", session.id)

        assert len(lines) == 1
        address, _, secret = lines[-1].rpartition("/")
        assert address == "http://testserver/s"
        assert redeem_link(secret) == session.id
        assert SessionLink.objects.get().created_by == "operator"

    def test_every_call_makes_another(self, session: SessionSnapshot) -> None:
        assert run("session_link", session.id) != run("session_link", session.id)

    def test_an_unknown_session_is_refused(self) -> None:
        with pytest.raises(CommandError, match="There is no session ws_1_a, or it was deleted"):
            run("session_link", "ws_1_a")
        assert not SessionLink.objects.exists()

    def test_a_deleted_session_is_refused(
        self, manager: UnifiedSessionManager, session: SessionSnapshot
    ) -> None:
        manager.delete_session(session.id)

        with pytest.raises(CommandError, match="or it was deleted"):
            run("session_link", session.id)

    def test_of_an_expired_session_it_says_so(self, session: SessionSnapshot) -> None:
        past_end(session.id)

        lines = run("session_link", session.id)

        assert lines[0] == "This session is over: its shopper can only start again."
        assert lines[-1].startswith("http://testserver/s/")


class TestInspectSession:
    def test_it_shows_fields_timeline_and_tiers(
        self,
        manager: UnifiedSessionManager,
        session: SessionSnapshot,
        settings: SettingsWrapper,
    ) -> None:
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"OTHER_COPIES": []}
        manager.update_session(session.id, {"metadata": {"gift": True}})

        lines = [" ".join(line.split()) for line in run("inspect_session", session.id)]

        assert lines[0] == f"{session.id} pending / checkout"
        assert "products 2 x SOIL Living Soil 5L 12.50" in lines
        assert "amount 25.00" in lines
        assert "metadata.gift •••" in lines
        assert "upsells.accepted -" in lines
        timeline = lines[lines.index("Timeline") + 1 : lines.index("Tiers now") - 1]
        assert [line.split()[0] for line in timeline] == ["v1", "v2"]
        assert timeline[1].endswith("session_updated system (metadata)")
        assert "tier holds age against the database" in lines
        assert any(line.startswith("database v2") for line in lines)
        assert lines[-1] == "Nothing is wrong with it."

    def test_a_store_that_cannot_be_read_is_no_clean_bill(self, session: SessionSnapshot) -> None:
        lines = run("inspect_session", session.id)

        assert lines[-1] == "What legacy database has of it could not be read."

    def test_personal_data_is_masked_unless_asked_for(self, session: SessionSnapshot) -> None:
        UnifiedSession.objects.filter(pk=session.id).update(
            vault_id="117041394", payment_token="tok_1"
        )

        masked = "\n".join(run("inspect_session", session.id))
        shown = "\n".join(run("inspect_session", session.id, "--show-pii"))

        for personal in ("ana@", "Zoë", "Springfield"):
            assert personal not in masked
            assert personal in shown
        assert "117041394" not in masked + shown
        assert "a•••@example.org" in masked
        assert "tok_1" not in masked + shown

    def test_json(self, manager: UnifiedSessionManager, session: SessionSnapshot) -> None:
        with manager.lock_session(session.id) as locked:
            locked.hold()

        (line,) = run("inspect_session", session.id, "--json")

        found = json.loads(line)
        assert found["id"] == found["session"]["id"] == session.id
        assert found["session"]["amount"] == 25
        assert found["session"]["email"] == "a•••@example.org"
        assert found["holds"] == 1
        assert [event["kind"] for event in found["events"]] == ["session_created"]
        assert {tier["name"] for tier in found["tiers"]} >= {"redis", "database"}
        assert found["problems"] == []

    def test_a_touch_that_is_not_flushed_yet_counts(
        self, manager: UnifiedSessionManager, session: SessionSnapshot
    ) -> None:
        manager.touch_session(session.id)

        (line,) = run("inspect_session", session.id, "--json")

        assert json.loads(line)["lastSeenAt"] is not None

    def test_problems_are_said(self, session: SessionSnapshot) -> None:
        UnifiedSession.objects.filter(pk=session.id).update(status="failed", amount=None)

        lines = run("inspect_session", session.id)

        assert "Problem: there are products but no amount" in lines
        assert "Problem: failed/checkout is outside the flow" in lines

    def test_a_tombstone_says_when_it_was_deleted(
        self, manager: UnifiedSessionManager, session: SessionSnapshot
    ) -> None:
        manager.delete_session(session.id)

        lines = run("inspect_session", session.id)

        assert lines[0].startswith(f"{session.id}  deleted 20")
        assert lines[0].endswith("UTC; its personal data is gone")
        assert any("session_deleted" in line for line in lines)
        assert not any("email" in line for line in lines)

    def test_an_unknown_session(self) -> None:
        with pytest.raises(CommandError, match="There never was a session ws_1_a here"):
            run("inspect_session", "ws_1_a")

    def test_without_other_stores_there_is_no_word_of_them(
        self, session: SessionSnapshot, settings: SettingsWrapper
    ) -> None:
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"OTHER_COPIES": []}

        lines = run("inspect_session", session.id)

        assert "Other stores now" not in lines
        assert json.loads(run("inspect_session", session.id, "--json")[0])["copies"] == []

    def test_what_a_shopper_wrote_gives_the_terminal_no_commands(
        self, manager: UnifiedSessionManager
    ) -> None:
        written = manager.create_session(customer={"firstName": "\x1b[2JAna\r"})

        shown = "\n".join(run("inspect_session", written.id, "--show-pii"))

        assert "·[2JAna·" in shown
        assert "\x1b" not in shown


@pytest.mark.usefixtures("old_shop")
class TestInspectBesideLegacyStores:
    """A legacy table beside ours: one row of one column per store."""

    ID = "ws_mwo5wwds_2"

    @pytest.fixture
    def old_shop(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = {"database": settings.LEGACY_ADAPTERS["database"]}
        create_table(TABLE)
        put(TABLE, paid_row(id=self.ID))
        adapter = get_adapter("database")
        record = adapter.peek(self.ID)
        assert record is not None
        import_sessions(get_tiers(), [adapter.to_unified(record)], source="database")

    @staticmethod
    def differing(lines: list[str]) -> list[str]:
        return [line.split()[0] for line in lines if "≠" in line]

    def test_both_stand_side_by_side(self) -> None:
        lines = run("inspect_session", self.ID)

        assert lines[1].split("  ")[-1].strip() == "legacy database"
        (step,) = [line.split() for line in lines if line.startswith("  currentStep")]
        assert step == ["currentStep", "upsell-1", "upsell-1"]
        assert not self.differing(lines)
        assert "  legacy database  says the same" in lines
        assert lines[-1] == "Nothing is wrong with it."

    def test_what_differs_is_marked_leaf_by_leaf_and_masked(self) -> None:
        put(
            TABLE,
            paid_row(
                id=self.ID,
                email="canary@example.net",
                customer_info={"firstName": "Ana", "lastName": "Canary"},
                products=[],
                vault_id="vault-canary",
            ),
        )

        lines = run("inspect_session", self.ID)

        assert self.differing(lines) == ["email", "customer.lastName", "products", "vaultId"]
        assert "anary" not in "\n".join(lines)
        assert lines[-1] == (
            "Problem: legacy database: differs in email, customer, products, vault_id"
        )

    def test_personal_data_on_request_and_never_what_opens_a_card(self) -> None:
        put(TABLE, paid_row(id=self.ID, email="canary@example.net", vault_id="vault-canary"))

        shown = "\n".join(run("inspect_session", self.ID, "--show-pii"))

        assert "canary@example.net" in shown
        assert "vault-canary" not in shown

    def test_the_same_address_in_capitals_is_no_difference(self) -> None:
        put(TABLE, paid_row(id=self.ID, email="ANA@EXAMPLE.ORG"))

        assert not self.differing(run("inspect_session", self.ID))

    def test_what_the_table_has_no_place_for_stays_empty(self) -> None:
        UnifiedSessionManager().update_session(self.ID, {"metadata": {"gift": True}})

        lines = run("inspect_session", self.ID)

        (gift,) = [line.split() for line in lines if "metadata.gift" in line]
        assert gift == ["metadata.gift", "•••"]
        assert not self.differing(lines)

    def test_lines_fit_a_terminal(self) -> None:
        long = {"firstName": "x" * 500, "a" * 60: {"b" * 60: "y"}}
        put(TABLE, paid_row(id=self.ID, customer_info=long))

        lines = run("inspect_session", self.ID, "--show-pii")

        table = lines[1 : lines.index("Timeline")]
        assert max(map(len, table)) <= 118
        assert any(line.endswith("x…") for line in table)
        assert any(line.startswith("  …" + "b" * 33) for line in table)

    def test_a_session_that_only_the_old_shop_has(self) -> None:
        put(TABLE, row(id="ws_mwo5wwds_7"))

        lines = run("inspect_session", "ws_mwo5wwds_7")

        assert lines[0] == "ws_mwo5wwds_7  is not here"
        assert any(line.split() == ["status", "pending"] for line in lines)
        assert lines[-1] == "It is not here; legacy database has it."

    def test_one_that_was_deleted_here_and_stands_there(self) -> None:
        put(TABLE, row(id=self.ID))
        UnifiedSessionManager().delete_session(self.ID)

        lines = run("inspect_session", self.ID)

        assert "its personal data is gone" in lines[0]
        assert lines[-1] == "It was deleted here; legacy database has it."

    def test_a_record_that_cannot_be_read_says_why(self) -> None:
        put(TABLE, paid_row(id=self.ID, status="paused"), row(id="ws_mwo5wwds_7", email=None))

        lines = run("inspect_session", self.ID)

        (said,) = [line for line in lines if line.startswith("  legacy database")]
        assert "has a record that cannot be read: status 'paused' is none of" in said
        with pytest.raises(CommandError, match=r"never was .* here\. legacy database: has a rec"):
            run("inspect_session", "ws_mwo5wwds_7")

    def test_json_names_the_differences(self) -> None:
        put(TABLE, paid_row(id=self.ID, email="canary@example.net"))

        (line,) = run("inspect_session", self.ID, "--json")

        (copy,) = json.loads(line)["copies"]
        assert copy["name"] == "legacy database"
        assert copy["differences"] == ["email"]
        assert copy["session"]["email"] == "c•••@example.net"
        assert copy["session"]["vaultId"] == "•••"
        assert "metadata" not in copy["session"]
        assert json.loads(line)["problems"] == ["legacy database: differs in email"]

    def test_it_writes_to_neither_side(self) -> None:
        put(TABLE, paid_row(id=self.ID, expires_at="2026-11-20T00:00:00+00:00"))
        read = "SELECT xmin::text, * FROM {} ORDER BY id"
        before = TABLE.fetch(read), list(UnifiedSession.objects.values())

        run("inspect_session", self.ID)

        assert (TABLE.fetch(read), list(UnifiedSession.objects.values())) == before

    def test_the_api_does_not_ask_legacy_stores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(TABLE, paid_row(id=self.ID, email="canary@example.net"))
        asked: list[str] = []
        monkeypatch.setattr(DatabaseAdapter, "peek", lambda _, session_id: asked.append(session_id))

        assert UnifiedSessionManager().validate_session(self.ID).problems == ()
        assert asked == []

        run("inspect_session", self.ID)

        assert asked == [self.ID]


class TestCleanupSessions:
    @pytest.fixture
    def backlog(self, manager: UnifiedSessionManager) -> dict[str, str]:
        """Make an unpaid, a paid and a held session past their end, a purgeable, a young one."""
        ids = {name: manager.create_session(**ORDER).id for name in ("unpaid", "paid", "held")}
        ids |= {name: manager.create_session(**ORDER).id for name in ("old", "young")}
        past_end(ids["unpaid"])
        past_end(ids["paid"], transaction_id="1", status="processing", current_step="upsell-1")
        past_end(ids["held"], holds=1)
        past_end(ids["old"], status="completed", current_step="success", transaction_id="2")
        return ids

    @staticmethod
    def states(ids: dict[str, str]) -> dict[str, str]:
        found = {each.id: each for each in UnifiedSession.objects.all()}
        return {
            name: "tombstone" if found[key].deleted_at else found[key].status
            for name, key in ids.items()
        }

    def test_it_settles_and_purges(self, backlog: dict[str, str]) -> None:
        assert run("cleanup_sessions") == ["Settled 2 and purged 1 sessions."]

        assert self.states(backlog) == {
            "unpaid": "expired",
            "paid": "completed",
            "held": "pending",
            "old": "tombstone",
            "young": "pending",
        }
        actors = SessionEvent.objects.exclude(kind="session_created").values_list(
            "actor", flat=True
        )
        assert set(actors) == {"operator"}

    def test_twice_there_is_nothing_to_do(self, backlog: dict[str, str]) -> None:
        run("cleanup_sessions")

        assert run("cleanup_sessions") == ["Nothing to clean up."]

    def test_in_small_batches_it_does_the_same(self, backlog: dict[str, str]) -> None:
        assert run("cleanup_sessions", "--batch-size", "1") == ["Settled 2 and purged 1 sessions."]

    def test_without_purge(self, backlog: dict[str, str]) -> None:
        assert run("cleanup_sessions", "--no-purge") == ["Settled 2 and purged 0 sessions."]
        assert self.states(backlog)["old"] == "completed"

    def test_a_dry_run_counts_and_writes_nothing(self, backlog: dict[str, str]) -> None:
        before = self.states(backlog)

        assert run("cleanup_sessions", "--dry-run") == ["Would settle 2 and purge 1 sessions."]

        assert self.states(backlog) == before

    def test_a_shopper_seen_a_moment_ago_is_left(self, manager: UnifiedSessionManager) -> None:
        session_id = manager.create_session(**ORDER).id
        UnifiedSession.objects.filter(pk=session_id).update(
            status="processing",
            current_step="upsell-1",
            expires_at=timezone.now() - timedelta(minutes=1),
        )
        manager.touch_session(session_id)

        assert run("cleanup_sessions") == ["Nothing to clean up."]

    def test_it_drops_the_events_of_old_tombstones(
        self, manager: UnifiedSessionManager, session: SessionSnapshot
    ) -> None:
        manager.delete_session(session.id)
        age_events(session.id)

        assert run("cleanup_sessions", "--dry-run") == [
            "Would settle 0 and purge 0 sessions, and drop the events of 1 tombstones."
        ]
        assert run("cleanup_sessions") == [
            "Settled 0 and purged 0 sessions. Dropped 2 events of tombstones."
        ]
        assert not SessionEvent.objects.exists()

    def test_json_for_scripts(self, backlog: dict[str, str]) -> None:
        (counted,) = run("cleanup_sessions", "--dry-run", "--json")
        (cleaned,) = run("cleanup_sessions", "--json", "--no-pace")

        assert json.loads(counted) | {"seconds": 0} == {
            "dryRun": True,
            "settled": 2,
            "purged": 1,
            "ended": 0,
            "seconds": 0,
        }
        assert json.loads(cleaned) | {"seconds": 0} == {
            "settled": 2,
            "purged": 1,
            "eventsDropped": 0,
            "endedBy": "done",
            "seconds": 0,
        }

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_ends_it_after_the_batch_under_way(
        self, backlog: dict[str, str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        settle_batch = sweeping.settle_batch

        def be_interrupted(*args: Any, **kwargs: Any) -> sweeping.Batch:
            os.kill(os.getpid(), number)
            return settle_batch(*args, **kwargs)

        monkeypatch.setattr(sweeping, "settle_batch", be_interrupted)
        out = StringIO()

        with pytest.raises(CommandError, match=r"Stopped before the end\. Run it again"):
            call_command("cleanup_sessions", "--batch-size", "1", stdout=out)

        assert out.getvalue() == "Settled 1 and purged 0 sessions.\n"
        monkeypatch.undo()
        assert run("cleanup_sessions") == ["Settled 1 and purged 1 sessions."]

    def test_a_database_that_is_gone_is_said_with_what_was_done(
        self, backlog: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise DatabaseUnavailableError

        monkeypatch.setattr(sweeping, "purge_batch", fail)

        with pytest.raises(
            CommandError,
            match=r"did not answer(.|\n)*Settled 2 and purged 0 sessions\. Run it again",
        ):
            run("cleanup_sessions")

    def test_a_busy_database_is_said_once_in_a_while(
        self, backlog: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy = Condition(trouble="9 connections wait for locks")
        monkeypatch.setattr(pacing, "observe_database", lambda _: busy)
        monkeypatch.setattr(pacing, "_SHORTEST_BACKOFF", 0.001)
        monkeypatch.setattr(pacing, "_LONGEST_BACKOFF", 0.001)
        err = StringIO()

        call_command("cleanup_sessions", "--batch-size", "1", stdout=StringIO(), stderr=err)

        assert err.getvalue().splitlines() == [
            "The database is busy, so this goes slowly: 9 connections wait for locks",
        ]

    def test_while_cleaning_is_on_hold_it_refuses(
        self, backlog: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = Condition(is_held=True)
        monkeypatch.setattr(pacing, "observe_database", lambda _: held)

        with pytest.raises(CommandError, match="Cleaning is on hold"):
            run("cleanup_sessions")
        assert self.states(backlog)["unpaid"] == "pending"

    def test_a_run_that_a_hold_ended_claims_no_sum(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pacing, "observe_database", lambda _: Condition(is_held=True))
        out = StringIO()

        with pytest.raises(CommandError, match="on hold"):
            call_command("cleanup_sessions", stdout=out)

        assert "purged" not in out.getvalue()

    @pytest.mark.parametrize(
        "other", ["--dry-run", "--no-purge", "--no-pace", "--json", "--batch-size=5"]
    )
    def test_hold_stands_alone(self, other: str) -> None:
        with pytest.raises(CommandError, match="--hold stands alone"):
            run("cleanup_sessions", "--hold", other)

    def test_a_hold_that_the_database_ends_claims_no_sum(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def fail(tiers: Tiers) -> Iterator[Callable[[], None]]:
            raise DatabaseUnavailableError
            yield

        monkeypatch.setattr(pacing, "hold", fail)

        with pytest.raises(CommandError, match="not on hold, or no longer") as raised:
            run("cleanup_sessions", "--hold")

        assert "Settled" not in str(raised.value)

    def test_hold_holds_until_ctrl_c(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "sessions_unified.management.commands.cleanup_sessions._HOLD_PROOF_SECONDS", 0
        )
        hold = pacing.hold

        @contextmanager
        def hold_for_a_moment(tiers: Tiers) -> Iterator[Callable[[], None]]:
            with hold(tiers) as prove:
                yield lambda: (prove(), os.kill(os.getpid(), signal.SIGINT))[0]

        monkeypatch.setattr(pacing, "hold", hold_for_a_moment)

        assert run("cleanup_sessions", "--hold") == [
            "Cleaning is on hold, everywhere. Ctrl-C lets it go on.",
            "Cleaning goes on.",
        ]

    @pytest.mark.parametrize("size", ["0", "-3", "x"])
    def test_an_absurd_batch_size(self, size: str) -> None:
        with pytest.raises(CommandError, match="batch-size"):
            run("cleanup_sessions", "--batch-size", size)

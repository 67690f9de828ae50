"""A session that only legacy stores know comes over when it is met: once, whole, and paid once."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.core.signals import request_finished
from django.db import transaction
from django.test import RequestFactory
from msgspec.structs import replace

from funnel.checkout import process_checkout
from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from legacy_adapters.contact import import_on_contact
from legacy_adapters.cookie.jws import sign
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.models import ImportRecord, SessionConflict
from legacy_adapters.stores import Store
from legacy_adapters.testing import InMemoryAdapter
from sessions_unified.exceptions import SessionExpiredError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers.database import _LOCK_SEED
from tests import legacy
from tests.legacy import create_table, put
from tests.managing import elsewhere, in_threads, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

ID = "ws_mwo5wwds_2"
# Merged sessions end a day after their birth, whatever their stores say.
BORN = datetime.now(UTC).replace(microsecond=0)
BORN_MS = int(BORN.timestamp() * 1000)
DAY_MS = 86_400_000
DATES = {"created_at": BORN.isoformat(), "updated_at": BORN.isoformat()}
SECRET = "the old shop's own secret, long enough"


class Cache(dict[str, Any]):
    """A memory cache; ``fails``: it does not answer."""

    fails = False

    def get(self, key: str, default: Any = None) -> Any:
        if self.fails:
            raise ConnectionError
        return super().get(key, default)


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def stores(settings: SettingsWrapper, cache: Cache) -> None:
    settings.LEGACY_ADAPTERS = {
        "memory_cache": {
            "ADAPTER": "legacy_adapters.memory_cache.MemoryCacheAdapter",
            "MAPPING": cache,
        },
        "cookie": {"ADAPTER": "legacy_adapters.cookie.CookieAdapter", "SECRETS": [SECRET]},
        "database": {"ADAPTER": "legacy_adapters.database.DatabaseAdapter", "ALIAS": "default"},
        "local_storage": {"ADAPTER": "legacy_adapters.local_storage.LocalStorageAdapter"},
    }


@pytest.fixture
def table(db: None, stores: None, redis_flush: None) -> DatabaseAdapter:
    adapter = DatabaseAdapter(source="database", alias="default")
    create_table(adapter.table)
    return adapter


def row(**fields: Any) -> dict[str, Any]:
    """Return a row of today."""
    return legacy.row(**{**DATES, **fields})


def paid_row(**fields: Any) -> dict[str, Any]:
    """Return a row of a shopper who has paid today."""
    return legacy.paid_row(**{**DATES, **fields})


def data(**fields: Any) -> dict[str, Any]:
    """Return the old cookie's data of the session of `row`."""
    return {
        "id": ID,
        "email": "ana@example.org",
        "firstName": "Ana",
        "vaultId": "117041394",
        "createdAt": BORN_MS,
        "expiresAt": BORN_MS + DAY_MS,
    } | fields


def browser(**claims: Any) -> HttpRequest:
    """Return a request with the old shop's cookie."""
    request = RequestFactory().get("/")
    request.COOKIES["upsell_session"] = sign(data(**claims), SECRET)
    return request


def met(request: HttpRequest | None = None) -> SessionSnapshot:
    session = import_on_contact(ID, request)
    assert session is not None
    return session


def sources() -> dict[str, int]:
    return dict(ImportRecord.objects.values_list("source", "unified_version"))


def test_what_the_table_knows_comes_over(table: DatabaseAdapter) -> None:
    put(table.table, row())

    session = met()

    assert session == UnifiedSessionManager().get_session(ID, fresh=True)
    assert (session.email, session.version) == ("ana@example.org", 1)
    event = SessionEvent.objects.get()
    assert (event.kind, event.actor) == ("session_imported", "import:contact")
    assert sources() == {"database": 1}


def test_all_trusted_stores_make_one_session(table: DatabaseAdapter, cache: Cache) -> None:
    put(table.table, row())
    cache[ID] = data(lastName="Berg", vaultId=None)

    session = met(browser(transactionId="3029929089"))

    assert (session.transaction_id, session.vault_id) == ("3029929089", "117041394")
    assert (session.status, session.current_step) == ("processing", "upsell-1")
    assert session.products[0].id == "SOIL"
    assert session.customer is not None
    assert session.customer["lastName"] == "Berg"
    assert sources() == {"database": 1, "cookie": 1, "memory_cache": 1}
    (attempt,) = ChargeAttempt.objects.all()
    assert (attempt.gateway, attempt.state) == ("imported", "succeeded")


def test_a_shopper_whom_only_the_cookie_knows_is_never_charged_again(
    table: DatabaseAdapter,
) -> None:
    met(browser(transactionId="3029929089"))

    reply = process_checkout(UnifiedSessionManager(), ID, key="pay", payment_token="tok_approve")

    assert reply.status == 200
    assert not SandboxCharge.objects.exists()


def test_a_backfill_afterwards_finds_it_unchanged(table: DatabaseAdapter, cache: Cache) -> None:
    put(table.table, row())
    cache[ID] = data()
    met()

    report = backfill(table)

    assert (report.unchanged, report.read) == (1, 1)


def test_what_is_here_is_returned_as_it_is(table: DatabaseAdapter) -> None:
    put(table.table, row())
    met()
    manager = UnifiedSessionManager()
    manager.update_session(ID, {"email": "here@example.org"})
    put(table.table, row(email="there@example.org"))

    assert met().email == "here@example.org"
    assert SessionEvent.objects.count() == 2


def test_a_deleted_session_stays_dead(table: DatabaseAdapter) -> None:
    put(table.table, row())
    met()
    UnifiedSessionManager().delete_session(ID)
    put(table.table, row(email="there@example.org"))

    assert import_on_contact(ID, browser(email="other@example.org")) is None
    assert UnifiedSession.objects.get().email is None
    assert not SessionConflict.objects.exists()


@pytest.mark.parametrize("session_id", [ID, "no-id", "", "ws_1_" + "x" * 60])
def test_what_nobody_knows_is_none(table: DatabaseAdapter, session_id: str) -> None:
    assert import_on_contact(session_id) is None
    assert not UnifiedSession.objects.exists()


def test_a_cookie_that_the_shop_did_not_sign_makes_no_session(table: DatabaseAdapter) -> None:
    request = RequestFactory().get("/")
    request.COOKIES["upsell_session"] = sign(data(), "not the old shop's secret, long enough")

    assert import_on_contact(ID, request) is None


def test_a_browsers_word_makes_no_session(
    table: DatabaseAdapter, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InMemoryAdapter, "store", Store.LOCAL_STORAGE)
    browsers = {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter", "ROWS": {ID: row()}}
    settings.LEGACY_ADAPTERS = settings.LEGACY_ADAPTERS | {"local_storage": browsers}

    assert import_on_contact(ID) is None


def test_past_its_end_it_says_so(table: DatabaseAdapter) -> None:
    put(table.table, row(expires_at="2020-01-01T00:00:00+00:00"))

    session = met()

    assert (session.status, session.version) == ("expired", 2)
    assert sources() == {"database": 2}
    with pytest.raises(SessionExpiredError):
        UnifiedSessionManager().get_session(ID)


def test_past_its_end_and_paid_it_is_complete(table: DatabaseAdapter) -> None:
    put(table.table, paid_row(expires_at="2020-01-01T00:00:00+00:00"))

    assert (met().status, met().current_step) == ("completed", "success")


class TestContradictions:
    def test_a_person_decides_first(self, table: DatabaseAdapter) -> None:
        put(table.table, row())

        assert import_on_contact(ID, browser(email="other@example.org")) is None

        assert not UnifiedSession.objects.exists()
        conflict = SessionConflict.objects.get()
        assert (conflict.source, conflict.fields, conflict.blocks) == ("cookie", ["email"], True)
        assert "other@example.org" not in str(vars(conflict))
        assert not ImportRecord.objects.exists()

    def test_meeting_it_again_changes_nothing(self, table: DatabaseAdapter) -> None:
        put(table.table, row())
        request = browser(email="other@example.org")
        import_on_contact(ID, request)
        before = SessionConflict.objects.values().get()

        assert import_on_contact(ID, request) is None
        assert SessionConflict.objects.values().get() == before

    def test_what_a_rule_decided_is_for_the_record(self, table: DatabaseAdapter) -> None:
        put(table.table, paid_row(vault_id="200000001"))

        session = met(browser(lastVaultUpdate=BORN_MS + 60_000, transactionId="3029929089"))

        assert session.vault_id == "117041394"
        conflict = SessionConflict.objects.get()
        assert (conflict.source, conflict.blocks) == ("cookie", False)
        assert conflict.fields == ["vault_id"]


class TestStoresInTrouble:
    def test_an_unreadable_record_is_left_out_and_noted(
        self, table: DatabaseAdapter, cache: Cache, caplog: pytest.LogCaptureFixture
    ) -> None:
        put(table.table, row(status="initiated"))
        cache[ID] = data()

        with caplog.at_level(logging.WARNING):
            session = met()

        assert sources() == {"memory_cache": 1}
        assert session.vault_id == "117041394"
        assert "Session ws_mwo5wwds_2 in the legacy store 'database' is left out" in caplog.text

    def test_an_entry_of_another_session_is_left_out(
        self, table: DatabaseAdapter, cache: Cache
    ) -> None:
        cache[ID] = data(id="ws_mwo5wwds_3")

        assert import_on_contact(ID) is None
        assert not UnifiedSession.objects.exists()

    def test_one_that_does_not_answer_leaves_everything_open(
        self, table: DatabaseAdapter, cache: Cache
    ) -> None:
        put(table.table, row())
        cache.fails = True

        with pytest.raises(SourceUnavailableError):
            import_on_contact(ID)

        assert not UnifiedSession.objects.exists()
        cache.fails = False
        assert met().version == 1

    def test_what_our_database_refuses_is_none(
        self, table: DatabaseAdapter, caplog: pytest.LogCaptureFixture
    ) -> None:
        put(table.table, paid_row(upsells_accepted=["upsell-1-" + "x" * 200]))

        assert import_on_contact(ID) is None
        assert not UnifiedSession.objects.exists()
        assert "cannot be stored: DataError" in caplog.text

    def test_text_that_is_none_to_our_database_is_none_too(
        self,
        table: DatabaseAdapter,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        put(table.table, row())
        read = DatabaseAdapter.to_unified
        monkeypatch.setattr(
            DatabaseAdapter,
            "to_unified",
            lambda self, record: replace(read(self, record), email="ana\ud800@example.org"),
        )

        assert import_on_contact(ID) is None
        assert not UnifiedSession.objects.exists()
        assert "cannot be stored: UnicodeEncodeError" in caplog.text


@pytest.fixture
def shared(transactional_db: None, stores: None, redis_flush: None) -> Iterator[DatabaseAdapter]:
    adapter = DatabaseAdapter(source="database", alias="default")
    create_table(adapter.table)
    yield adapter
    request_finished.send(sender=None)
    with adapter.table.connection.cursor() as cursor:
        cursor.execute("DROP TABLE funnel_sessions")


def test_requests_at_once_import_it_once(shared: DatabaseAdapter, cache: Cache) -> None:
    put(shared.table, paid_row())
    cache[ID] = data(transactionId="3029929089")
    found: list[SessionSnapshot | None] = []

    raised = in_threads(*[lambda: found.append(import_on_contact(ID))] * 4)

    assert raised == []
    assert len(set(found)) == 1
    assert found[0] is not None
    assert SessionEvent.objects.filter(kind="session_imported").count() == 1
    assert ChargeAttempt.objects.count() == 1
    assert sources() == {"database": 1, "memory_cache": 1}


def test_it_waits_for_who_writes_the_session_and_reads_what_they_wrote(
    shared: DatabaseAdapter, cache: Cache
) -> None:
    cache[ID] = data()
    found: list[SessionSnapshot | None] = []
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))"

    with elsewhere(lock, [ID, _LOCK_SEED]):
        waiting = threading.Thread(target=in_threads, args=[lambda: found.append(met())])
        waiting.start()
        wait_for(lambda: is_waiting(shared))
        cache[ID] = data(vaultId="200000001")
    waiting.join(60)

    assert [session.vault_id for session in found if session] == ["200000001"]


def test_a_change_that_a_backfill_has_not_read_is_still_to_come(shared: DatabaseAdapter) -> None:
    put(shared.table, row())
    found: list[SessionSnapshot | None] = []

    def change_and_meet() -> None:
        put(shared.table, row(email="later@example.org"))
        found.append(met())

    with transaction.atomic():
        backfill(shared)
        meeting = threading.Thread(target=in_threads, args=[change_and_meet])
        meeting.start()
        wait_for(lambda: is_waiting(shared, "transactionid"))
    meeting.join(60)

    assert [session.email for session in found if session] == ["ana@example.org"]
    assert backfill(shared).imported == 1
    assert UnifiedSession.objects.get().email == "later@example.org"


def test_a_transaction_that_a_backfill_brings_meanwhile_keeps_no_shopper_out(
    shared: DatabaseAdapter,
) -> None:
    put(shared.table, paid_row(id="ws_mwo5wwds_1"))
    found: list[SessionSnapshot | None] = []

    def arrive() -> None:
        put(shared.table, paid_row())
        found.append(met())

    with transaction.atomic():
        backfill(shared)
        arriving = threading.Thread(target=in_threads, args=[arrive])
        arriving.start()
        wait_for(lambda: is_waiting(shared, "transactionid"))
    arriving.join(60)

    assert [session.is_paid for session in found if session] == [True]
    paid = ChargeAttempt.objects.filter(state="succeeded", purpose="checkout")
    assert set(paid.values_list("session_id", flat=True)) == {ID, "ws_mwo5wwds_1"}


def is_waiting(adapter: DatabaseAdapter, kind: str = "advisory") -> bool:
    ((number,),) = adapter.table.fetch(
        "SELECT count(*) FROM pg_locks WHERE locktype = %s AND NOT granted", [kind]
    )
    return number > 0

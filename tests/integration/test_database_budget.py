"""The durable tier's statements, its budget and its breaker (promises R18 to R20)."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import psycopg_pool
import pytest
from django.core.signals import request_finished, request_started
from django.db import connection, connections, transaction

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.postgres import BudgetedConnection, database_budget
from sessions_unified.tiers.database import _SELECT
from tests.fault_proxy import FaultProxy
from tests.managing import ORDER, events, in_threads, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from tests.managing import MakeTiers


def prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_the_hot_read_is_prepared_and_djangos_own_statements_are_not(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)

    for _ in range(10):
        manager.get_session(session.id, fresh=True)
        UnifiedSession.objects.get(id=session.id)

    texts = prepared()
    assert len([text for text in texts if text == _SELECT.replace("%s", "$1")]) == 1
    assert not [text for text in texts if '"sessions_unified_unifiedsession"' in text]


def test_behind_a_pooler_nothing_is_prepared(make_tiers: MakeTiers) -> None:
    connection.close()
    before = len(prepared())
    manager = UnifiedSessionManager(tiers=make_tiers(PREPARED_STATEMENTS=False))

    session = manager.create_session(**ORDER)
    manager.get_session(session.id, fresh=True)

    assert len(prepared()) == before


def test_an_update_and_its_event_are_one_round_trip(
    manager: UnifiedSessionManager, django_assert_num_queries: Any
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)

    with django_assert_num_queries(1):
        manager.update_session(session.id, {"email": "bea@example.org"})

    assert UnifiedSession.objects.get(pk=session.id).email == "bea@example.org"
    assert events(session.id) == [(1, "session_created"), (2, "session_updated")]


@pytest.fixture
def budget() -> Iterator[None]:
    """Be in a request."""
    request_started.send(sender=None, environ={})
    yield
    request_finished.send(sender=None)


@pytest.fixture
def database() -> Iterator[tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]]]:
    """Return a proxy before the test's PostgreSQL, and a pool of connections through it."""
    url = os.environ["DATABASE_URL"]
    parts = urlsplit(url)
    with FaultProxy(target=(parts.hostname or "", parts.port or 0)) as proxy:
        pool: psycopg_pool.ConnectionPool[Any] = psycopg_pool.ConnectionPool(
            proxy.url(url), connection_class=BudgetedConnection, min_size=1, open=True, timeout=2
        )
        pool.wait(5)
        yield proxy, pool
        proxy.pass_on()
        pool.close()


def test_r19_a_server_that_hangs_costs_one_budget_a_request(
    database: tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]],
    settings: SettingsWrapper,
    request: pytest.FixtureRequest,
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"DATABASE_BUDGET_SECONDS": 0.3}
    request.getfixturevalue("budget")
    proxy, pool = database
    raw = pool.getconn()
    proxy.hang()

    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT 1")
    took = time.monotonic() - began

    assert took < 1.5
    assert raw.closed  # a late answer answers nobody else
    pool.putconn(raw)


def test_r19_the_budget_is_of_waiting_and_begins_anew_with_a_request(
    database: tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]], settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"DATABASE_BUDGET_SECONDS": 1}
    _, pool = database
    answers = []

    with pool.connection() as raw:
        for _ in range(2):
            request_started.send(sender=None, environ={})
            raw.execute("SELECT pg_sleep(0.55)")
            time.sleep(0.55)  # a gateway's time is not the database's
            answers += raw.execute("SELECT 1").fetchall()
            request_finished.send(sender=None)
        request_started.send(sender=None, environ={})
        raw.execute("SELECT pg_sleep(0.55)")
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT pg_sleep(0.55)")
        request_finished.send(sender=None)

    assert answers == [(1,)] * 2


def test_r19_a_command_has_all_the_time_it_needs(
    database: tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]], settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"DATABASE_BUDGET_SECONDS": 0.1}
    _, pool = database

    with pool.connection() as raw:
        answers = raw.execute("SELECT 1 FROM pg_sleep(0.5)").fetchall()

    assert answers == [(1,)]


def test_r18_work_beside_the_requests_has_a_budget_of_its_own(
    database: tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]],
) -> None:
    proxy, pool = database
    raw = pool.getconn()
    proxy.hang()
    began = time.monotonic()

    with pytest.raises(psycopg.OperationalError), database_budget(0.3):
        raw.execute("SELECT 1")

    assert time.monotonic() - began < 1.5
    pool.putconn(raw)


def test_r19_what_a_request_gave_up_is_cancelled(
    database: tuple[FaultProxy, psycopg_pool.ConnectionPool[Any]],
    settings: SettingsWrapper,
    request: pytest.FixtureRequest,
    transactional_db: None,
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"DATABASE_BUDGET_SECONDS": 0.2}
    _, pool = database
    with pool.connection() as raw:
        request.getfixturevalue("budget")
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT pg_sleep(30) /* given up */")
    request_finished.send(sender=None)

    def is_running() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE state = 'active' AND query LIKE '%%given up%%' AND pid <> pg_backend_pid()"
            )
            return bool(cursor.fetchone()[0])

    wait_for(lambda: not is_running(), seconds=20)  # it would sleep for 30


@contextmanager
def down() -> Iterator[list[str]]:
    """Let every connection attempt of this thread fail; yield what was attempted."""
    attempts: list[str] = []

    def refuse(*_: object) -> None:
        attempts.append("connect")
        raise psycopg.OperationalError("connection refused")

    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "get_new_connection", refuse)
        yield attempts


def test_r18_after_failures_in_a_row_the_database_is_left_alone(
    manager: UnifiedSessionManager,
) -> None:
    manager._tiers.clock.now()

    with down() as attempts:
        for _ in range(10):
            with pytest.raises(DatabaseUnavailableError):
                manager.get_session("ws_1_a", fresh=True)

    assert len(attempts) == get_conf().BREAKER_FAILURES


def test_r18_a_cached_answer_says_that_the_database_is_gone(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)

    with down():
        for _ in range(3):
            with pytest.raises(DatabaseUnavailableError):
                manager.get_session(session.id, fresh=True)
        answer = manager.get_session(session.id)

    assert answer == session
    assert manager.degraded == {"database"}


def test_an_error_of_a_statement_says_nothing_of_the_database(
    manager: UnifiedSessionManager,
) -> None:
    tier = manager._tiers.database

    for _ in range(5):
        with pytest.raises(Exception, match="does not exist"):
            tier._fetch("SELECT no_such_column", [])

    assert not tier.breaker.is_open


def backends() -> set[int]:
    """Return the server's processes of this thread's connection, and of an idle one."""
    pids: set[int] = set()

    def note() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids.update(*cursor.fetchall())

    note()
    assert not in_threads(note)
    return pids


def test_r20_a_server_that_has_become_read_only_is_left_with_all_its_connections(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    before = backends()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    with pytest.raises(DatabaseUnavailableError):
        manager.update_session(session.id, {"email": "bea@example.org"})
    after = manager.update_session(session.id, {"email": "bea@example.org"})

    assert after.version == 2
    assert len(before) == 2
    assert backends().isdisjoint(before)


def test_r20_a_read_only_server_met_inside_a_transaction_is_left_too(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    with pytest.raises(DatabaseUnavailableError), manager.lock_session(session.id) as locked:
        locked.update({"email": "bea@example.org"}, kind="session_updated")
    with manager.lock_session(session.id) as locked:
        locked.update({"email": "bea@example.org"}, kind="session_updated")

    assert manager.get_session(session.id).version == 2


def test_r20_a_probe_that_meets_a_read_only_server_has_met_a_server(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    breaker = manager._tiers.database.breaker
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    for _ in range(get_conf().BREAKER_FAILURES):
        breaker.failed()
    breaker._opened_at = time.monotonic() - get_conf().BREAKER_RESET_SECONDS

    with pytest.raises(DatabaseUnavailableError):
        manager.update_session(session.id, {"email": "bea@example.org"})

    assert not breaker.is_open
    assert manager.get_session(session.id, fresh=True) == session


def test_a_lock_that_was_waited_for_in_vain_costs_no_connection(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    tier = manager._tiers.database
    raw = connection.connection

    with psycopg.connect(**connection_parameters()) as other:
        other.execute(
            "SELECT 1 FROM sessions_unified_unifiedsession WHERE id = %s FOR UPDATE", [session.id]
        )
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(DatabaseUnavailableError), tier.transaction():
            tier.lock(session.id)
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")

    assert connection.connection is raw
    assert not raw.closed


def test_a_connection_that_broke_is_replaced_within_the_same_request(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with psycopg.connect(**connection_parameters()) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])

    with pytest.raises(DatabaseUnavailableError):
        manager.get_session(session.id, fresh=True)

    assert manager.get_session(session.id, fresh=True) == session


def test_a_statement_that_the_server_has_forgotten_is_prepared_again(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id, fresh=True)
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")  # unseen by psycopg

    assert manager.get_session(session.id, fresh=True) == session


def connection_parameters() -> dict[str, Any]:
    wanted = connection.get_connection_params()
    return {
        name: wanted[name]
        for name in ("dbname", "user", "password", "host", "port")
        if name in wanted
    }


def test_inside_a_transaction_a_read_sees_its_own_writes_and_keeps_them_from_the_caches(
    manager: UnifiedSessionManager,
) -> None:
    session = manager.create_session(**ORDER)
    manager.get_session(session.id)

    with transaction.atomic():
        manager.update_session(session.id, {"email": "bea@example.org"})
        inside = manager.get_session(session.id)
        transaction.set_rollback(True)

    assert inside.email == "bea@example.org"
    assert manager.get_session(session.id).email == session.email
    assert connections["default"].in_atomic_block is False

"""A pool whose connections the server has ended: the next request is served all the same."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
import pytest
from django.db import connection, connections

from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.postgres import BudgetedConnection, database_budget, renew_pool
from tests.managing import ORDER, in_threads, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.managing import MakeTiers

IDLE = 6  # the pool would need a minute to try so many, one after the other
SIZE = 3

Pool = psycopg_pool.ConnectionPool[Any]


def end(pids: set[int]) -> None:
    """End these connections at the server, as its restart does."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
        own.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(pids)])
        left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_for(lambda: own.execute(left, [list(pids)]).fetchone() == (0,))


@pytest.fixture
def idle(transactional_db: None) -> set[int]:
    """Leave many idle connections in Django's pool; return the processes of all it has."""
    connection.close()
    connection.close_pool()  # a new one, which was not renewed a moment ago
    all_have_one = threading.Barrier(IDLE)

    def take() -> None:
        own = connections["default"]
        own.ensure_connection()
        all_have_one.wait(30)
        own.close()

    assert not in_threads(*[take] * IDLE)
    with psycopg.connect(os.environ["DATABASE_URL"]) as own:
        found = own.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s",
            [connection.settings_dict["NAME"]],
        ).fetchall()
    assert len(found) >= IDLE
    return {pid for (pid,) in found}


def test_the_first_statement_of_djangos_after_it_is_answered(idle: set[int]) -> None:
    end(idle)

    assert UnifiedSession.objects.count() == 0


def test_the_first_write_of_a_session_after_it_is_stored(
    idle: set[int], make_tiers: MakeTiers
) -> None:
    tiers = make_tiers()
    manager = UnifiedSessionManager(tiers=tiers)
    tiers.clock.measure()  # else it would meet the first one
    connection.close()
    end(idle)

    session = manager.create_session(**ORDER)

    assert UnifiedSession.objects.get().pk == session.id


def test_all_that_ask_at_once_after_it_are_answered(idle: set[int]) -> None:
    end(idle)
    answers: list[int] = []

    def ask() -> None:
        answers.append(UnifiedSession.objects.count())

    raised = in_threads(*[ask] * IDLE)

    assert not raised
    assert answers == [0] * IDLE


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Return a pool of budgeted connections, all of them idle."""
    with psycopg_pool.ConnectionPool(
        os.environ["DATABASE_URL"],
        connection_class=BudgetedConnection,
        kwargs={"autocommit": True},
        min_size=SIZE,
        open=False,
        timeout=10,
    ) as pool:
        pool.wait()
        yield pool


def processes(pool: Pool, number: int = SIZE) -> set[int]:
    """Return the server's processes behind so many of the pool's connections."""
    taken = [pool.getconn() for _ in range(number)]
    pids = {each.info.backend_pid for each in taken}
    for each in taken:
        pool.putconn(each)
    return pids


def test_one_that_the_server_ended_renews_the_others(pool: Pool) -> None:
    before = processes(pool)
    with pool.connection() as raw:
        end({raw.info.backend_pid})
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT 1")

    assert processes(pool).isdisjoint(before)


def test_one_that_is_in_use_meanwhile_is_replaced_when_it_comes_back(pool: Pool) -> None:
    with pool.connection() as used:
        pid = used.info.backend_pid
        renew_pool(pool)
        answer = used.execute("SELECT 1").fetchone()

    assert answer == (1,)
    assert pid not in processes(pool)


def test_a_server_that_is_slow_for_one_keeps_the_others(pool: Pool) -> None:
    before = processes(pool)
    with pool.connection() as slow, database_budget(0.2):
        pid, cursor = slow.info.backend_pid, slow.cursor()
        for _ in range(2):  # the second finds it closed
            with pytest.raises(psycopg.OperationalError):
                cursor.execute("SELECT pg_sleep(30)")

    assert before - processes(pool) == {pid}


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
def test_a_statement_that_the_server_cancels_keeps_them_all(pool: Pool, limit: str) -> None:
    before = processes(pool)
    with pool.connection() as holder, pool.connection() as raw:
        holder.execute("SELECT pg_advisory_lock(1, 1)")
        raw.execute(f"SET {limit} = 50")
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT pg_advisory_lock(1, 1)")

    assert processes(pool) == before


def test_a_pool_without_a_free_connection_keeps_them_all(pool: Pool) -> None:
    before = processes(pool)
    taken = [pool.getconn() for _ in range(SIZE)]

    with pytest.raises(psycopg_pool.PoolTimeout):
        pool.getconn(timeout=0.05)
    for each in taken:
        pool.putconn(each)

    assert processes(pool) == before


def test_it_is_renewed_once_a_second_at_most(pool: Pool) -> None:
    seen = [processes(pool)]
    for now in (100.0, 100.9, 101.0):
        renew_pool(pool, monotonic=lambda now=now: now)
        seen.append(processes(pool))

    first, renewed, soon_after, a_second_later = seen
    assert renewed.isdisjoint(first)
    assert soon_after == renewed
    assert a_second_later.isdisjoint(renewed)


def test_a_connection_without_a_pool_only_fails() -> None:
    with BudgetedConnection.connect(os.environ["DATABASE_URL"]) as alone:
        end({alone.info.backend_pid})

        with pytest.raises(psycopg.OperationalError):
            alone.execute("SELECT 1")

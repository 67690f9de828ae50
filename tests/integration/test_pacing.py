"""What the pacer sees of a real database, and how it is put on hold."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from sessions_unified.upkeep import load
from sessions_unified.upkeep.load import observe_database
from sessions_unified.upkeep.pacing import database_pacer, hold
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.tiers import Tiers
    from tests.managing import MakeTiers


@pytest.fixture
def tiers(make_tiers: MakeTiers, monkeypatch: pytest.MonkeyPatch) -> Tiers:
    """Make tiers of a database that nothing is known of yet."""
    monkeypatch.setattr(load, "_latencies", {})
    return make_tiers()


@contextmanager
def in_threads(count: int, work: Callable[[], None]) -> Iterator[None]:
    """Run ``work`` in threads, which must have ended by themselves after the block."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)


def reads_that_take(*seconds: float) -> Callable[[], float]:
    times = [moment for each in seconds for moment in (0.0, each)]
    return lambda: times.pop(0)


def test_a_quiet_database_is_healthy(tiers: Tiers) -> None:
    condition = observe_database(tiers, perf_counter=reads_that_take(0.0003, 0.0003, 0.0003))

    assert condition == (False, None)


def test_reads_much_slower_than_the_best_known_are_trouble(tiers: Tiers) -> None:
    observe_database(tiers, perf_counter=reads_that_take(0.001, 0.001, 0.001))

    once = observe_database(tiers, perf_counter=reads_that_take(0.001, 0.02, 0.001))
    steadily = observe_database(tiers, perf_counter=reads_that_take(0.001, 0.02, 0.02))

    assert once.trouble is None
    assert steadily.trouble == "a read takes 20.0 ms, at best 1.0"


def test_connections_that_wait_for_locks_are_trouble(tiers: Tiers) -> None:
    def wait_for_it() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1, 1)")

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1, 1)")
        try:
            with in_threads(3, wait_for_it):
                wait_for(lambda: observe_database(tiers).trouble == "3 connections wait for locks")
                cursor.execute("SELECT pg_advisory_unlock(1, 1)")
        finally:
            cursor.execute("SELECT pg_advisory_unlock_all()")


def test_many_active_connections_are_trouble(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_MANY_ACTIVE", 2)

    def be_busy() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.5)")

    with in_threads(2, be_busy):
        wait_for(lambda: observe_database(tiers).trouble == "2 connections are active")


def test_a_hold_stops_paced_work_in_every_process_until_it_ends(tiers: Tiers) -> None:
    held, done = threading.Event(), threading.Event()

    def hold_it() -> None:
        with hold(tiers) as prove:
            prove()
            held.set()
            done.wait(60)

    with in_threads(1, hold_it):
        assert held.wait(60)
        pacer = database_pacer(tiers)

        assert next(pacer.sizes(), None) is None
        assert pacer.ended_by == "held"
        done.set()

    assert next(database_pacer(tiers).sizes()) == 500

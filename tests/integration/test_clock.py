"""The database's time by a measured offset (promise R22)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from sessions_unified import clock as clock_module
from sessions_unified.clock import DatabaseClock

pytestmark = pytest.mark.django_db(transaction=True)


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now.astimezone(UTC)


def test_it_is_the_databases_time() -> None:
    clock = DatabaseClock()

    before, now, after = database_now(), clock.now(), database_now()

    margin = timedelta(milliseconds=20)
    assert before - margin <= now <= after + margin


def test_r22_a_host_clock_five_minutes_off_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SkewedTime:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def time() -> float:
            return time.time() - 300

    monkeypatch.setattr(clock_module, "time", SkewedTime)
    clock = DatabaseClock()

    assert abs(clock.now() - database_now()) < timedelta(seconds=1)


def test_it_does_not_ask_at_every_call(django_assert_num_queries: object) -> None:
    clock = DatabaseClock()
    clock.now()

    with django_assert_num_queries(0):  # type: ignore[operator]
        readings = [clock.now() for _ in range(100)]

    assert readings == sorted(readings)


def test_without_a_database_it_falls_back_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import OperationalError

    class Down:
        needs_rollback = False

        def cursor(self) -> None:
            raise OperationalError

    monkeypatch.setattr(clock_module, "connections", {"default": Down()})

    assert abs(DatabaseClock().now() - datetime.now(UTC)) < timedelta(seconds=1)


def test_an_answer_that_took_long_does_not_move_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = DatabaseClock()
    clock.now()
    elapsed = iter([0.0, 4.0])

    with monkeypatch.context() as patch:
        began = clock.elapsed()
        patch.setattr(clock, "elapsed", lambda: began + next(elapsed))
        clock.measure()

    assert abs(clock.now() - database_now()) < timedelta(seconds=1)

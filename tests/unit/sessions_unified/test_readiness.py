"""What makes a process unready, and what only degrades it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError

from sessions_unified.monitoring import readiness
from sessions_unified.monitoring.readiness import DEGRADED, FAILED, OK, Check

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

KEY = "A" * 43


@pytest.fixture(autouse=True)
def servers_are_well(monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper) -> None:
    """Ask no server here: the acceptance tests do."""
    well = {"database": Check(status=OK), "schema": Check(status=OK)}
    monkeypatch.setattr(readiness._database, "get", lambda: well)
    monkeypatch.setattr(readiness._redis, "get", lambda: Check(status=OK))
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {
        "L1_ENABLED": False,
        "CLOCK": "sessions_unified.testing.FrozenClock",
    }


def test_a_process_that_lacks_nothing_is_ready() -> None:
    found = readiness.readiness()

    assert (found.status, found.is_ready) == (OK, True)


@pytest.mark.parametrize("kept", ["_database", "_redis"])
def test_a_server_that_gives_no_answer_degrades(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getattr(readiness, kept), "get", lambda: None)

    found = readiness.readiness()

    assert (found.status, found.is_ready) == (DEGRADED, True)
    assert found.checks[kept[1:]].reason == "no answer in time"


@pytest.mark.parametrize("keys", [{"a": "not a key"}, {"a": KEY[:-1]}])
def test_a_process_without_good_keys_is_not_ready(
    keys: dict[str, str], settings: SettingsWrapper
) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"TOKEN_KEYS": keys}

    found = readiness.readiness()

    assert (found.status, found.is_ready) == (FAILED, False)
    assert found.checks["keys"].status == FAILED


def test_a_project_without_tokens_is_ready(settings: SettingsWrapper) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"TOKEN_KEYS": {}}

    assert readiness.readiness().status == OK


def test_the_worst_status_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = {"database": Check(status=OK), "schema": Check(status=FAILED, reason="1 missing")}
    monkeypatch.setattr(readiness._database, "get", lambda: behind)
    monkeypatch.setattr(readiness._redis, "get", lambda: None)

    assert readiness.readiness().status == FAILED


class Executor:
    """Counts how often the migrations are looked at."""

    looked = 0
    missing: tuple[str, ...] = ()

    def __init__(self, connection: object) -> None:
        type(self).looked += 1
        self.loader = self
        self.graph = self

    def leaf_nodes(self) -> list[str]:
        return []

    def migration_plan(self, targets: list[str]) -> tuple[str, ...]:
        return self.missing


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Executor]:
    monkeypatch.setattr(readiness, "MigrationExecutor", Executor)
    Executor.looked, Executor.missing = 0, ()
    return Executor


def test_a_schema_that_is_current_is_looked_at_once(executor: type[Executor]) -> None:
    schema = readiness._Schema()

    statuses = [schema.check("default").status for _ in range(3)]

    assert statuses == [OK] * 3
    assert executor.looked == 1


def test_a_schema_that_is_behind_is_looked_at_until_it_is_not(executor: type[Executor]) -> None:
    schema = readiness._Schema()
    executor.missing = ("0003",)

    before = schema.check("default").status
    executor.missing = ()
    after = schema.check("default").status

    assert (before, after) == (FAILED, OK)


class Channel:
    """A channel that is alive as told."""

    alive = False

    def is_alive(self) -> bool:
        return self.alive


def test_a_channel_that_has_only_begun_is_given_its_time() -> None:
    now, channel = [100.0], Channel()
    look = readiness._Channel(monotonic=lambda: now[0])

    first = look.check(channel).status
    now[0] += 60
    later = look.check(channel).status

    assert (first, later) == (OK, DEGRADED)


def test_a_channel_that_was_proven_and_is_cut_degrades_at_once() -> None:
    channel, look = Channel(), readiness._Channel()
    channel.alive = True

    before = look.check(channel).status
    channel.alive = False
    after = look.check(channel).status

    assert (before, after) == (OK, DEGRADED)


def test_a_database_that_fails_says_so_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(alias: str) -> None:
        raise DatabaseError("host db-7.internal refused user shop")

    monkeypatch.setattr(readiness.vitals, "short_statements", fail)

    found = readiness._ask_database()

    assert found == {"database": Check(status=DEGRADED, reason="it does not answer")}

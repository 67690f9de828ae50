"""``manage.py audit_tiers`` as an operator runs it."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.management.commands import audit_tiers
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import Copy, codec, get_tiers
from tests.managing import ORDER

if TYPE_CHECKING:
    import redis
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_flush"),
]


def run(*arguments: str) -> tuple[list[str], str | None]:
    """Return what it prints, and what it says when it fails."""
    out, failure = StringIO(), None
    try:
        call_command("audit_tiers", *arguments, stdout=out)
    except CommandError as exc:
        failure = str(exc)
    return out.getvalue().splitlines(), failure


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(*args: Any, **options: Any) -> Any:
        return audit(*args, patience_seconds=0.05, **options)

    audit = audit_tiers.audit
    monkeypatch.setattr(audit_tiers, "audit", impatient)


@pytest.fixture
def session() -> SessionSnapshot:
    return UnifiedSessionManager().create_session(**ORDER)


@pytest.fixture
def ahead(session: SessionSnapshot, redis_client: redis.Redis) -> str:
    """A session whose copy in Redis is newer than the database."""
    tiers = get_tiers()
    copy = Copy(msgspec.structs.replace(session, version=3), tiers.clock.now())
    assert tiers.redis is not None
    redis_client.set(tiers.redis.key(session.id), codec.encode(copy), ex=30)
    return session.id


@pytest.mark.parametrize("which", [(), ("--all",), ("--sample", "10")])
def test_when_nothing_diverges(which: tuple[str, ...], session: SessionSnapshot) -> None:
    lines, failure = run(*which)

    assert lines[0].startswith("Compared 1 sessions and 0 cached copies in ")
    assert lines[1:] == ["Nothing diverges."]
    assert failure is None


@pytest.mark.parametrize("which", [(), ("--all",), ("--sample", "10")])
def test_what_diverges_is_said_with_what_to_do(which: tuple[str, ...], ahead: str) -> None:
    lines, failure = run(*which)

    assert lines[1:] == [
        "  1 ahead in redis: newer than the database: a write was acknowledged, and lost",
        f"    ahead {ahead}: redis holds v3, the database has v1",
    ]
    assert failure == (
        "1 divergences remain. Does the relay run (manage.py run_relay)? "
        "--repair drops them from the caches."
    )


def test_repair(ahead: str) -> None:
    lines, failure = run("--id", ahead, "--repair")
    again, _ = run("--id", ahead)

    assert lines[-2:] == ["Repaired 1.", "Nothing diverges."]
    assert again[-1] == "Nothing diverges."
    assert failure is None


def test_a_row_without_its_event_is_left_to_a_person(session: SessionSnapshot) -> None:
    UnifiedSession.objects.update(version=2)

    lines, failure = run("--repair")

    assert lines[-1] == f"    log {session.id}: database holds v2, the log says v1"
    assert failure is not None
    assert "inspect_session" in failure
    assert "relay" not in failure


def test_many_cases_are_counted_and_some_are_shown(redis_client: redis.Redis) -> None:
    redis_client.mset({f"su:{{ws_1_{number}}}": b"?" for number in range(30)})

    lines, failure = run("--all")

    assert len([line for line in lines if line.startswith("    unreadable")]) == 20
    assert lines[-1] == "    and 10 more"
    assert failure is not None
    assert failure.startswith("30 divergences remain.")


def test_json(ahead: str) -> None:
    lines, failure = run("--json")

    found = json.loads(lines[0])
    assert len(lines) == 1
    assert found["remaining"] == found["found"] == 1
    assert found["counts"] == [{"tier": "redis", "kind": "ahead", "count": 1}]
    assert found["cases"] == [
        {"id": ahead, "tier": "redis", "kind": "ahead", "holds": 3, "truth": 1, "fields": []}
    ]
    assert failure is not None


def test_a_tier_that_is_down(settings: SettingsWrapper, session: SessionSnapshot) -> None:
    here = settings.CACHES["default"]
    settings.CACHES = {"default": here | {"LOCATION": "redis://127.0.0.1:1/0"}}

    lines, failure = run()

    assert lines == []
    assert failure is not None
    assert failure.endswith(". Nothing can be compared; try again.")


def test_the_database_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError from OSError("connection refused")

    monkeypatch.setattr(audit_tiers, "audit", fail)

    _, failure = run("--sample", "5")

    assert failure == (
        "The database did not answer: OSError: connection refused. "
        "Nothing can be compared; try again."
    )


def test_a_session_that_nobody_knows(session: SessionSnapshot) -> None:
    lines, failure = run("--id", session.id, "ws_1_1")

    assert lines[0].startswith("Compared 1 sessions")
    assert lines[1:] == ["  ws_1_1: no row and no copy", "Nothing diverges."]
    assert failure is None


def test_only_sessions_that_nobody_knows_are_no_good_news() -> None:
    lines, _ = run("--id", "ws_1_1")

    assert lines[0].startswith("Compared 0 sessions")
    assert lines[1:] == ["  ws_1_1: no row and no copy"]


def test_what_is_no_id_is_refused() -> None:
    lines, failure = run("--id", "ws_1_1", "order-4711")

    assert (lines, failure) == ([], "No session id: order-4711.")


def test_a_copy_that_cannot_be_read_is_not_nothing(redis_client: redis.Redis) -> None:
    redis_client.set("su:{ws_1_1}", b"?", ex=30)

    lines, _ = run("--id", "ws_1_1")

    assert lines[2] == (
        "    unreadable ws_1_1: redis holds something unreadable, the database has nothing"
    )


def test_an_absurd_sample() -> None:
    _, failure = run("--sample", "0")

    assert failure == "--sample must be at least 1."

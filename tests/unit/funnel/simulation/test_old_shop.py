"""What the browsers of the old shop bring is what the adapters read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from funnel.simulation import OldSession
from funnel.simulation.old_shop import OldSessions, forgotten_entry
from legacy_adapters.cookie.tokens import Secrets, check_times, read_token
from sessions_unified.ids import is_session_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD = OldSession(
    id="ws_mwo5wwds_2",
    email="ana@example.org",
    created_at=NOW - timedelta(hours=1),
    expires_at=NOW + timedelta(hours=23),
    status="pending",
    current_step="checkout",
    customer={"firstName": "Ana"},
)


def test_the_cookie_is_one_that_the_old_shop_signed() -> None:
    text = OLD.cookie("the old shop's secret", now=NOW.timestamp())

    claims = read_token(text, Secrets(trusted=("the old shop's secret",)))
    check_times(claims, now=NOW)

    assert claims["id"] == OLD.id
    assert claims["firstName"] == "Ana"
    assert claims["createdAt"] == int(OLD.created_at.timestamp() * 1000)
    assert claims["exp"] == NOW.timestamp() + 1800
    assert "vaultId" not in claims


def test_an_entry_is_in_the_old_pages_format() -> None:
    entry = OLD.entry()

    assert entry["status"] == "initiated"
    assert re.fullmatch(r"2026-11-20T11:00:00\.000Z", entry["createdAt"])
    assert not {"vaultId", "transactionId"} & entry.keys()


def test_a_forgotten_entry_has_an_id_that_could_be() -> None:
    entry = forgotten_entry(12345, NOW)

    assert is_session_id(entry["id"])
    assert entry["products"]


def test_each_old_session_comes_back_once_and_none_without_a_secret() -> None:
    old = OldSessions([OLD], secret="s")

    assert old.take() is OLD
    assert old.take() is None
    assert OldSessions([OLD]).take() is None

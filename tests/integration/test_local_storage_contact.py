"""A browser synchronises a session that only the old shop's other stores know."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from legacy_adapters.database.store import Table
from sessions_unified import get_manager, tokens
from sessions_unified.clock import get_clock
from tests.browsers import entry
from tests.legacy import create_table, put, row
from tests.legacy_tokens import SECRET, shifted, token

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

ID = "ws_mwo5wwds_2"
TABLE = Table(alias="default", name="old_sessions")
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush", "old_shop")]


@pytest.fixture
def old_shop(settings: SettingsWrapper) -> None:
    """Have a table, a cookie and browsers of the old shop."""
    create_table(TABLE)
    settings.LEGACY_ADAPTERS = {
        "database": {
            "ADAPTER": "legacy_adapters.database.DatabaseAdapter",
            "ALIAS": TABLE.alias,
            "TABLE": TABLE.name,
        },
        "cookie": {"ADAPTER": "legacy_adapters.cookie.CookieAdapter", "SECRETS": [SECRET]},
        "local_storage": {"ADAPTER": "legacy_adapters.local_storage.LocalStorageAdapter"},
    }


def sync(client: Client, *entries: dict[str, Any], **headers: str) -> dict[str, Any]:
    body = json.dumps({each["id"]: each for each in entries})
    answer = client.post(
        "/api/session/sync", data=body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_shoppers_token_brings_it_over() -> None:
    put(TABLE, row(id=ID, customer_info={"firstName": "Ana"}))
    now = get_clock().now()
    bearer = tokens.issue(ID, now=now, expires_at=now + timedelta(hours=1))
    held = entry(id=ID, customerInfo={"firstName": "Zoë", "phone": "+49 30 1234"})

    answer = sync(Client(), held, Authorization=f"Bearer {bearer}")

    expected = {"firstName": "Ana", "phone": "+49 30 1234"}
    assert answer["sessions"][ID]["customer"] == expected
    assert get_manager().get_session(ID).customer == expected
    assert answer["keep"][ID]["customerInfo"] == expected


def test_a_valid_old_cookie_opens_it_and_nothing_else() -> None:
    now = get_clock().now()
    put(TABLE, row(id=ID, created_at=now.isoformat()), row(id="ws_mwo5wwds_other"))
    client = Client()
    client.cookies["upsell_session"] = token(shifted(now, transactionId=None))

    answer = sync(client, entry(id=ID), entry(id="ws_mwo5wwds_other"))

    assert list(answer["sessions"]) == list(answer["keep"]) == [ID]
    assert client.cookies["funnel_session"].value
    assert get_manager().get_sessions(["ws_mwo5wwds_other"]) == {}


def test_a_stranger_brings_nothing_over() -> None:
    put(TABLE, row(id=ID))

    answer = sync(Client(), entry(id=ID))

    assert answer["sessions"] == {}
    assert answer["startOver"] == {"products": [{"id": "SOIL", "quantity": 1}]}
    assert get_manager().get_sessions([ID]) == {}


def test_an_expired_session_of_the_old_shop_is_dropped() -> None:
    put(TABLE, row(id=ID, expires_at="2026-01-01T00:00:00+00:00"))
    now = get_clock().now()
    bearer = tokens.issue(ID, now=now, expires_at=now + timedelta(hours=1))

    answer = sync(Client(), entry(id=ID), Authorization=f"Bearer {bearer}")

    assert answer["drop"] == [ID]
    assert answer["startOver"] == {"products": [{"id": "SOIL", "quantity": 1}]}

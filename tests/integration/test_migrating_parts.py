"""What browsers hold of a session that is being moved: the old cookie, and localStorage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client, RequestFactory

from legacy_adapters.memory_cache import SESSIONS
from legacy_adapters.migration.stages.names import Stage
from sessions_unified import get_manager
from sessions_unified.models import SessionEvent
from tests.charges import session_of
from tests.legacy import paid_row, put
from tests.legacy_tokens import claims_of, shifted, token
from tests.migrating import SECRET, migrating_shop, table, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

OLD, OURS = "upsell_session", "funnel_session"
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gateway", "redis_flush"),
]


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield
    SESSIONS.clear()


def send(client: Client, path: str, body: dict[str, Any], key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(
        f"/api/{path}", json.dumps(body), content_type="application/json", headers=headers
    )


def shopper() -> tuple[Client, str]:
    client = Client()
    order = {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 1}]}
    answer = send(client, "session/create", order)
    assert answer.status_code == 201, answer.content
    return client, answer.json()["id"]


def check_out(client: Client, session_id: str) -> Any:
    body = {"paymentToken": "tok_approve"}
    answer = send(client, "checkout/process", body, key=f"pay-{session_id}")
    assert answer.status_code == 200, answer.content
    return answer


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE, Stage.LIVE, Stage.RAMP_DOWN])
def test_the_checkout_sets_the_old_cookie_while_it_is_written(stage: Stage) -> None:
    to_stage(stage)
    client, session_id = shopper()

    answer = check_out(client, session_id)

    claims = claims_of(answer.cookies[OLD].value)
    assert claims["id"] == session_id
    assert claims["transactionId"] == session_of(session_id).transaction_id
    assert claims["vaultId"] == session_of(session_id).vault_id
    assert SESSIONS[session_id]["transactionId"] == claims["transactionId"]
    assert claims["vaultId"].encode() not in answer.content


def test_at_complete_nothing_old_is_written_any_more() -> None:
    to_stage("complete")
    client, session_id = shopper()

    answer = check_out(client, session_id)

    assert OLD not in answer.cookies
    assert session_id not in SESSIONS
    assert table().peek(session_id) is None


def test_a_cookie_that_is_behind_is_mended_at_its_next_visit() -> None:
    to_stage("live")
    client, session_id = shopper()
    check_out(client, session_id)
    changed = {"email": "eva@example.org"}
    get_manager("session.detail").update_session(session_id, changed)

    first = client.get(f"/api/session/{session_id}")
    second = client.get(f"/api/session/{session_id}")

    assert claims_of(first.cookies[OLD].value)["email"] == "eva@example.org"
    assert OLD not in second.cookies


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW, Stage.LIVE])
def test_the_old_cookie_alone_opens_its_session_at_every_stage(stage: Stage) -> None:
    begun = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    put(table().table, paid_row(id="ws_mwo5wwds_old", created_at=begun, updated_at=begun))
    to_stage(stage)
    client = Client()
    client.cookies[OLD] = token(_claims("ws_mwo5wwds_old"), secret=SECRET)

    answer = client.get("/api/session/ws_mwo5wwds_old")

    assert answer.status_code == 200, answer.content
    assert answer.json()["currentStep"] == "upsell-1"
    assert OURS in answer.cookies


def _claims(session_id: str) -> dict[str, Any]:
    row = paid_row()
    paid = {"transactionId": row["transaction_id"], "vaultId": row["vault_id"]}
    return shifted(datetime.now(UTC), id=session_id, email=row["email"], **paid)


def test_what_only_the_cookie_knows_can_still_buy_an_extra_at_off() -> None:
    client = Client()
    client.cookies[OLD] = token(_claims("ws_mwo5wwds_2"), secret=SECRET)

    opened = get_manager("upsell.process", _request(client)).get_session("ws_mwo5wwds_2")

    assert opened.is_paid
    assert opened.email == "ana@example.org"


@pytest.mark.parametrize("stage", list(Stage))
def test_what_only_the_cookie_knows_is_not_gone_for_its_browser(stage: Stage) -> None:
    to_stage(stage)
    client = Client()
    client.cookies[OLD] = token(_claims("ws_mwo5wwds_2"), secret=SECRET)

    answers = [send(client, "session/sync", {}) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert [set(each.json()["sessions"]) for each in answers] == [{"ws_mwo5wwds_2"}] * 2
    assert all("ws_mwo5wwds_2" not in each.json()["drop"] for each in answers)


def _request(client: Client) -> Any:
    request = RequestFactory().get("/")
    request.COOKIES[OLD] = client.cookies[OLD].value
    return request


def test_the_cookies_rounded_dates_are_no_reason_to_write_anything() -> None:
    to_stage(Stage.DUAL_WRITE)
    client, session_id = shopper()
    created_at = session_of(session_id).created_at
    check_out(client, session_id)

    for offer in ("upsell-1-serum", "upsell-1-bundle"):
        body = {"offer": offer, "decision": "decline"}
        assert send(client, "upsell/process", body, key=offer).status_code == 200

    repaired = SessionEvent.objects.filter(session_id=session_id, kind="session_repaired")
    # What the cookie says besides is taken over, once.
    assert [each.changed for each in repaired] == [["metadata"]]
    assert session_of(session_id).created_at == created_at


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.LIVE, Stage.COMPLETE])
def test_localstorage_is_kept_up_until_complete(stage: Stage) -> None:
    to_stage(stage)
    client, session_id = shopper()

    answer = send(client, "session/sync", {})

    assert answer.status_code == 200, answer.content
    assert set(answer.json()["sessions"]) == {session_id}
    kept = answer.json()["keep"]
    assert set(kept) == (set() if stage is Stage.COMPLETE else {session_id})

"""What hostile browsers of the old shop tried, and what must come of it: an answer, and no more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client

from legacy_adapters.models import KeptBlob
from sessions_unified import get_manager, tokens
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession
from tests.browsers import entry
from tests.legacy_tokens import SECRET, shifted, token

if TYPE_CHECKING:
    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush", "old_browsers")]

OLD, OURS = "upsell_session", "funnel_session"
ID = "ws_mwo5wwds_2"
FIELDS = [*entry(), "vaultId", "transactionId", "theme", "__proto__"]
READ = ["customerInfo", "products", "upsells", "upsellsAccepted", "theme"]
NUMBERS = ("1E+999999999", "-1E+999999999", "1E-999999999", f"1E+{'9' * 20}", f"1E-{'9' * 20}")


@pytest.fixture
def old_browsers(settings: SettingsWrapper) -> None:
    """Have browsers of the old shop, with both of their stores."""
    settings.LEGACY_ADAPTERS = {
        "cookie": {"ADAPTER": "legacy_adapters.cookie.CookieAdapter", "SECRETS": [SECRET]},
        "local_storage": {
            "ADAPTER": "legacy_adapters.local_storage.LocalStorageAdapter",
            "SYNCS_PER_MINUTE": 1000,
        },
    }


@pytest.fixture
def own() -> SessionSnapshot:
    return get_manager().create_session(email="ana@example.org")


def sync(body: bytes, own: SessionSnapshot | None = None, **options: Any) -> HttpResponse:
    headers: dict[str, str] = options.pop("headers", {})
    if own is not None:
        now = get_clock().now()
        text = tokens.issue(own.id, now=now, expires_at=own.expires_at)
        headers = {"Authorization": f"Bearer {text}", **headers}
    kind = options.pop("content_type", "application/json")
    return Client(headers=headers).post("/api/session/sync", body, content_type=kind, **options)


def storage(*spelled: tuple[str, str, str]) -> bytes:
    """Return a storage of entries: id, and a field of it that is spelled so."""
    entries = []
    for session_id, name, raw in spelled:
        fields = {key: value for key, value in entry(id=session_id).items() if key != name}
        entries.append(f'"{session_id}": {json.dumps(fields)[:-1]}, "{name}": {raw}}}')
    return f"{{{', '.join(entries)}}}".encode()


# Values


@pytest.mark.parametrize("number", NUMBERS)
def test_r38_numbers_beyond_every_range_are_answered(own: SessionSnapshot, number: str) -> None:
    line = f'[{{"id": "SOIL", "price": {number}, "quantity": {number}}}]'
    raws = [number, *(json.dumps(text) for text in (number, line, f'{{"a": {number}}}'))]
    spelled = [(name, raw) for name in FIELDS for raw in raws]

    strangers = [(f"ws_1_{count}", *each) for count, each in enumerate(spelled)]
    answers = [sync(storage(*strangers))]
    answers += [sync(storage((own.id, name, raw)), own) for name in READ for raw in raws[2:]]

    assert [each.status_code for each in answers] == [200] * len(answers)
    assert str(get_manager().get_session(own.id, fresh=True).amount) == "12.50"


@pytest.mark.parametrize("name", ["theme", "\\ud800", "customerInfo"])
def test_r38_half_of_a_surrogate_pair_is_answered(own: SessionSnapshot, name: str) -> None:
    answer = sync(
        storage((own.id, name, '{"a": ["\\ud83d", "\\ude00"], "\\udc00": "\\u0000"}')), own
    )

    assert answer.status_code == 200, answer.content
    assert own.id in answer.json()["keep"]


def test_thousands_of_problems_make_no_large_answer(own: SessionSnapshot) -> None:
    odd = json.dumps({f"card{number}": 1 for number in range(3000)})

    answer = sync(storage((own.id, "customerInfo", odd)), own)

    assert len(answer.json()["problems"]) == 100
    assert len(answer.content) < 20_000


def test_r41_the_digest_of_a_kept_blob_tells_no_card_number() -> None:
    for number in ("4111111111111111", "4012888888881881"):
        sync(f'{{"ws_1_a": "{number}"'.encode())

    kept = KeptBlob.objects.get()
    assert (kept.times, kept.text) == (2, '{"ws_1_a": "[card number]"')


# Bodies


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_what_a_form_of_another_site_can_send_is_not_read(own: SessionSnapshot, kind: str) -> None:
    answer = sync(storage((own.id, "theme", '"dark"')), own, content_type=kind)

    assert answer.status_code == 415
    assert not KeptBlob.objects.exists()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil"])
@pytest.mark.parametrize("old", [True, False])
def test_r37_a_page_of_another_origin_is_refused(
    own: SessionSnapshot, origin: str, *, old: bool
) -> None:
    client = Client(headers={"Origin": origin})
    if old:
        client.cookies[OLD] = token(shifted(datetime.now(UTC), id=own.id))

    answer = client.post(
        "/api/session/sync", storage((own.id, "theme", "1")), content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
    assert "Access-Control-Allow-Origin" not in answer


# Cookies


def test_our_token_of_one_session_and_an_old_cookie_of_another_open_one(
    own: SessionSnapshot,
) -> None:
    client = Client()
    client.cookies[OURS] = tokens.issue(own.id, now=get_clock().now(), expires_at=own.expires_at)
    client.cookies[OLD] = token(shifted(datetime.now(UTC), id="ws_1_other"))
    body = storage(("ws_1_other", "theme", "1"), (own.id, "theme", "2"))

    answer = client.post("/api/session/sync", body, content_type="application/json")

    assert list(answer.json()["sessions"]) == list(answer.json()["keep"]) == [own.id]
    assert get_manager().get_sessions(["ws_1_other"]) == {}


def test_an_old_cookie_that_outlived_its_session_earns_nothing_again() -> None:
    client = Client()
    client.cookies[OLD] = stale = token(shifted(datetime.now(UTC)))
    client.get(f"/api/session/{ID}")
    del client.cookies[OLD]
    client.delete(f"/api/session/{ID}")

    replayed = Client(headers={"Cookie": f"{OLD}={stale}"}).get(f"/api/session/{ID}")

    assert replayed.status_code == 401
    assert OURS not in replayed.cookies


@pytest.mark.parametrize("path", ["/nowhere", "/api/schema", "/admin/login/", "/", "/checkout"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_whatever_hands_a_token_out_is_kept_by_no_shared_cache(path: str, method: str) -> None:
    client = Client()
    client.cookies[OLD] = token(shifted(datetime.now(UTC)))

    answer = client.generic(method, path)

    assert OURS in answer.cookies
    assert "private" in answer["Cache-Control"]
    assert "Cookie" in answer["Vary"]


def test_an_old_cookie_of_a_session_that_cannot_be_opened_closes_no_page(
    own: SessionSnapshot,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_unified_unifiedsession SET vault_id = %s WHERE id = %s",
            ["sealed:lost-key:AAAA", own.id],
        )
    client = Client(raise_request_exception=False)
    client.cookies[OLD] = token(shifted(datetime.now(UTC), id=own.id))

    answer = client.get("/")

    assert answer.status_code == 200
    assert OURS not in answer.cookies


def test_a_name_that_no_column_holds_is_spelled_out_where_its_card_data_was_masked() -> None:
    client = Client()
    client.cookies[OLD] = token(
        json.dumps({**shifted(datetime.now(UTC)), "\ud800": {"cvv": 123}}).encode()
    )

    answer = client.get(f"/api/session/{ID}")

    assert answer.status_code == 200
    kept = UnifiedSession.objects.get(pk=ID).metadata["legacy"]["cookie"]
    assert kept["maskedCardData"] == ["\\ud800"]
    assert "123" not in str(kept["claims"])

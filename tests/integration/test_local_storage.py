"""One browser's storage and ours, brought together: what is seen, taken, refused and recorded."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models import F
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as pure
from hypothesis import strategies as st

from funnel.local.ports import free_port
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.fields.writing import iso
from legacy_adapters.metrics import THROTTLED
from legacy_adapters.models import KeptBlob, SessionConflict
from legacy_adapters.tasks import forget_kept_blobs
from sessions_unified import get_manager, tokens
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent
from tests.browsers import SAMPLES, entry
from tests.canaries import database_text
from tests.json_values import json_values

if TYPE_CHECKING:
    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush", "only_browsers")]

SOIL = [{"id": "SOIL", "quantity": 1, "name": "Living Soil 5L", "price": "12.50"}]


@pytest.fixture
def only_browsers(settings: SettingsWrapper) -> None:
    """Have no legacy stores but browsers."""
    path = "legacy_adapters.local_storage.LocalStorageAdapter"
    settings.LEGACY_ADAPTERS = {"local_storage": {"ADAPTER": path, "SYNCS_PER_MINUTE": 1000}}


def session(**fields: Any) -> SessionSnapshot:
    given: dict[str, Any] = {"email": "ana@example.org", "products": SOIL, "amount": "12.50"}
    return get_manager().create_session(**(given | fields))


def send(
    *entries: dict[str, Any],
    own: SessionSnapshot | None = None,
    body: bytes | None = None,
    **headers: str,
) -> HttpResponse:
    if own is not None:
        now = get_clock().now()
        token = tokens.issue(own.id, now=now, expires_at=own.expires_at)
        headers = {"Authorization": f"Bearer {token}", **headers}
    text = json.dumps({each["id"]: each for each in entries}).encode() if body is None else body
    return Client(headers=headers).post(
        "/api/session/sync", data=text, content_type="application/json"
    )


def sync(*entries: dict[str, Any], **options: Any) -> dict[str, Any]:
    answer = send(*entries, **options)
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def held(own: SessionSnapshot, **fields: Any) -> dict[str, Any]:
    """Return the entry of a session as its browser got it."""
    return entry(id=own.id, createdAt=iso(own.created_at), **fields)


def now_of(own: SessionSnapshot) -> SessionSnapshot:
    return get_manager().get_session(own.id, fresh=True)


def test_a_shopper_sees_their_session_and_holds_it_in_the_old_format() -> None:
    own = session(customer={"firstName": "Ana"})

    answer = sync(own=own)

    assert list(answer["sessions"]) == [own.id]
    assert answer["sessions"][own.id]["version"] == 1
    kept = answer["keep"][own.id]
    assert kept["status"] == "initiated"
    assert kept["customerInfo"] == {"firstName": "Ana"}
    assert kept["products"] == [
        {"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 1}
    ]
    assert kept["createdAt"].endswith("Z")
    assert answer["drop"] == answer["problems"] == []
    assert answer["startOver"] is None


def test_what_only_the_browser_knows_of_the_customer_is_taken() -> None:
    own = session(customer={"firstName": "Ana", "lastName": ""})
    told = {"firstName": "Zoë", "lastName": "Ng", "phone": "+49 30 1234", "marketingOptIn": True}

    answer = sync(held(own, customerInfo=told), own=own)

    expected = {"firstName": "Ana", "lastName": "Ng", "phone": "+49 30 1234"}
    assert now_of(own).customer == {**expected, "marketingOptIn": True}
    assert answer["sessions"][own.id]["customer"] == {**expected, "marketingOptIn": True}
    assert answer["keep"][own.id]["customerInfo"] == {**expected, "marketingOptIn": True}
    assert answer["problems"] == []
    event = SessionEvent.objects.filter(session_id=own.id).latest("seq")
    assert (event.actor, event.changed) == ("shopper", ["customer"])


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"notes": "4111 1111 1111 1111"}, "card_data_refused"),
        ({"cvv": "123"}, "card_data_refused"),
        ({"firstName": "x" * 101}, "refused_customer"),
        ({"firstName": 5}, "refused_customer"),
        ({"address": {"line1": "1 High St"}}, "refused_customer"),
        ({"address": {"vaultId": "428354408"}}, "refused_customer"),
        ({"notes": "x" * 201}, "refused_customer"),
        ({"notes": {"a": 1}}, "refused_customer"),
        ({"vaultId": "428354408"}, "refused_customer"),
        ({f"key{n}": "x" * 200 for n in range(100)}, "refused_customer"),
        ({"customerId": "cus_1"}, "refused_customer"),
    ],
)
def test_what_the_customer_may_not_hold_is_refused_and_told(
    told: dict[str, Any], code: str
) -> None:
    own = session(customer={"lastName": "Ng"})

    answer = sync(held(own, customerInfo=told), own=own)

    assert {each["code"] for each in answer["problems"]} == {code}
    assert {each["id"] for each in answer["problems"]} == {own.id}
    assert now_of(own) == own
    assert not any(secret in json.dumps(answer) for secret in ("4111", "428354408"))


def test_a_refused_key_does_not_keep_the_others_out() -> None:
    own = session()
    told = {"firstName": "Ana", "lastName": 5, "address": {"line1": "1 High St"}}

    answer = sync(held(own, customerInfo=told), own=own)

    assert now_of(own).customer == {"firstName": "Ana"}
    assert {each["detail"].partition(":")[0] for each in answer["problems"]} == {
        *("customerInfo.lastName", "customerInfo.address.city", "customerInfo.address.zip"),
        "customerInfo.address.country",
    }


def test_products_are_taken_at_our_prices_where_there_are_none() -> None:
    own = session(products=[], amount=None)
    told = [{"id": "SOIL", "name": "Gold", "price": 0.01, "quantity": 2}]

    answer = sync(held(own, products=told), own=own)

    after = now_of(own)
    (line,) = after.products
    assert (line.name, str(line.price), line.quantity) == ("Living Soil 5L", "12.50", 2)
    assert str(after.amount) == "25.00"
    assert answer["keep"][own.id]["products"][0]["price"] == 12.5


def test_products_that_are_not_sold_are_told() -> None:
    own = session(products=[], amount=None)

    answer = sync(held(own, products=[{"id": "GOLD", "quantity": 1}]), own=own)

    assert [each["code"] for each in answer["problems"]] == ["invalid_products"]
    assert now_of(own).products == ()


def test_products_of_an_order_stay() -> None:
    own = session()

    sync(held(own, products=[{"id": "LAMP", "quantity": 1}]), own=own)

    assert now_of(own).products == own.products


CLAIMS: dict[str, dict[str, Any]] = {
    "email": {"email": "eve@example.org"},
    "transaction_id": {"transactionId": "made-up-9999"},
    "vault_id": {"vaultId": "428354408"},
    "status": {"status": "completed"},
    "current_step": {"currentStep": "success"},
    "upsells": {
        "upsellsAccepted": ["upsell-1-serum"],
        "upsells": [{"productCode": "upsell-1-serum", "amount": 0.01, "transactionId": "9"}],
    },
}


@pytest.mark.parametrize("field", CLAIMS)
def test_what_a_browser_may_never_set_is_compared_and_never_copied(field: str) -> None:
    own = session(customer={"firstName": "Ana", "lastName": "Ng"})

    answer = sync(held(own, **CLAIMS[field]), own=own)

    assert now_of(own) == own
    assert answer["problems"] == []
    assert None not in answer["keep"][own.id].values()
    (conflict,) = SessionConflict.objects.all()
    assert (conflict.source, conflict.session_id) == ("local_storage", own.id)
    assert (conflict.fields, conflict.blocks, conflict.state) == ([field], False, "open")
    said = json.dumps(conflict.evidence) + json.dumps(answer)
    assert not any(each in said for each in ("eve@example.org", "428354408", "made-up-9999"))


def test_a_repeated_sync_changes_nothing() -> None:
    own = session()
    claimed = held(own, **{k: v for each in CLAIMS.values() for k, v in each.items()})
    first = sync(claimed, own=own)
    events, seen = SessionEvent.objects.count(), SessionConflict.objects.get().seen_at

    second = sync(claimed, own=own)
    third = sync(*first["keep"].values(), own=own)

    assert first == second == third
    assert now_of(own).version == 2  # the customer's names, once
    assert SessionEvent.objects.count() == events
    assert SessionConflict.objects.get().seen_at == seen


def test_a_browser_lagging_behind_contradicts_nothing() -> None:
    own = session(customer={"firstName": "Ana", "lastName": "Ng"})
    with get_manager().lock_session(own.id) as locked:
        locked.update(
            {"status": "processing", "current_step": "upsell-1", "transaction_id": "3000001"},
            kind="charge_succeeded",
            checks_flow=False,
        )

    answer = sync(held(own), own=own)

    assert not SessionConflict.objects.exists()
    assert answer["keep"][own.id]["currentStep"] == "upsell-1"
    assert answer["keep"][own.id]["transactionId"] == "3000001"


def test_a_completed_order_takes_nothing_more() -> None:
    own = session()
    with get_manager().lock_session(own.id) as locked:
        locked.update(
            {"status": "completed", "current_step": "success", "transaction_id": "3000001"},
            kind="charge_succeeded",
            checks_flow=False,
        )

    sync(held(own, customerInfo={"phone": "+49 30 1"}), own=own)

    assert now_of(own).customer is None


# Who may see what


def test_r36_whether_a_foreign_session_exists_cannot_be_told() -> None:
    shoppers = [session(email=f"shopper{n}@example.org") for n in range(3)]
    pairs = [(one, other) for one in (None, *shoppers) for other in shoppers if one is not other]

    for one, other in pairs:
        missing = other.id[:-1] + ("a" if other.id[-1] != "a" else "b")
        told = [entry(id=each, customerInfo={"phone": "1"}) for each in (other.id, missing)]
        there, nowhere = (send(each, own=one).content for each in told)
        assert there.replace(other.id.encode(), missing.encode()) == nowhere
        assert (other.email or "").encode() not in there

    assert all(now_of(each) == each for each in shoppers)


def test_a_stranger_is_looked_up_nowhere(django_assert_num_queries: Any) -> None:
    foreign = session()
    get_clock().now()

    with django_assert_num_queries(0):
        answer = sync(entry(id=foreign.id))

    assert answer["sessions"] == answer["keep"] == {}
    assert answer["startOver"] == {"products": [{"id": "SOIL", "quantity": 1}]}


def test_the_cookie_of_a_session_opens_it_on_the_shops_own_pages_alone() -> None:
    own = session()
    now = get_clock().now()
    client = Client()
    client.cookies["funnel_session"] = tokens.issue(own.id, now=now, expires_at=own.expires_at)

    def status(**headers: str) -> int:
        return client.post(
            "/api/session/sync", data=b"{}", content_type="application/json", headers=headers
        ).status_code

    assert status(Origin="http://testserver") == 200
    assert status(Origin="https://evil.example") == 403
    assert send(Origin="https://evil.example").status_code == 403


def test_services_and_bad_tokens_are_refused() -> None:
    from sessions_unified import keys

    text = keys.create_key("shipping", ["sessions:read"])[1]

    assert send(Authorization=f"Api-Key {text}").json()["code"] == "browsers_only"
    assert send(Authorization="Bearer nonsense").status_code == 401


# What is over, and what begins


def test_entries_past_their_own_end_are_dropped() -> None:
    over = entry(id="ws_1_over", expiresAt="2026-01-01T00:00:00.000Z")

    answer = sync(over, entry(id="ws_1_alive"))

    assert answer["drop"] == ["ws_1_over"]


def test_a_deleted_session_is_dropped_and_never_comes_back() -> None:
    own = session()
    get_manager().delete_session(own.id)

    answer = sync(held(own), own=own)

    assert answer["drop"] == [own.id]
    assert answer["sessions"] == answer["keep"] == {}
    assert answer["startOver"] == {"products": [{"id": "SOIL", "quantity": 1}]}
    assert get_manager().get_sessions([own.id]) == {}


def test_a_session_that_is_alive_here_outlives_its_entry() -> None:
    own = session()
    past = held(own, expiresAt="2026-01-01T00:00:00.000Z", email="eve@example.org")

    answer = sync(past, own=own)

    assert answer["drop"] == []
    assert answer["keep"][own.id]["expiresAt"] > "2026-01-01"
    assert not SessionConflict.objects.exists()


def test_the_newest_unpaid_entry_is_what_a_stranger_may_begin_with() -> None:
    old = entry(id="ws_1_a", updatedAt="2026-01-01T00:00:00.000Z", products=[{"id": "POT"}])
    new = entry(
        id="ws_1_b",
        updatedAt="2026-01-02T00:00:00.000Z",
        products=[
            {"id": "SOIL", "quantity": 3, "price": 0.01, "name": "Soil"},
            {"id": "LAMP", "quantity": 1000},
            {"id": "x" * 65, "quantity": 1},
            {"id": "POT", "quantity": 0},
        ],
    )
    later = "2026-01-03T00:00:00.000Z"
    paid = entry(id="ws_1_c", updatedAt=later, status="processing", transactionId="9")
    done = entry(id="ws_1_d", updatedAt=later, status="completed")
    over = entry(id="ws_1_e", updatedAt=later, expiresAt="2026-01-04T00:00:00.000Z")
    empty = entry(id="ws_1_f", updatedAt=later, products=[])

    answer = sync(old, new, paid, done, over, empty)

    assert answer["startOver"] == {"products": [{"id": "SOIL", "quantity": 3}]}
    assert sync(old)["startOver"] == {"products": [{"id": "POT", "quantity": 1}]}
    assert sync(paid, done, over, empty)["startOver"] is None


def test_a_bought_order_is_not_offered_again() -> None:
    own = session()
    with get_manager().lock_session(own.id) as locked:
        locked.update({"transaction_id": "3000001"}, kind="charge_succeeded", checks_flow=False)
        locked.update(
            {"status": "completed", "current_step": "success"}, kind="done", checks_flow=False
        )
    expire(own)

    answer = sync(held(own), own=own)

    assert answer["drop"] == [own.id]
    assert answer["startOver"] is None


def expire(own: SessionSnapshot) -> None:
    from sessions_unified.models import UnifiedSession

    past = get_clock().now() - timedelta(minutes=1)
    UnifiedSession.objects.filter(pk=own.id).update(expires_at=past)


# What nobody can read


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b" \n"])
def test_an_empty_storage_is_nothing_broken(body: bytes) -> None:
    assert sync(body=body) == {
        "sessions": {},
        "keep": {},
        "drop": [],
        "startOver": None,
        "problems": [],
        "key": "webseed_funnel_sessions",
    }


GARBAGE = [
    b'{"ws_1_a": {"id": "ws_1_a", "email": "ana@exam',
    *(
        b"[]",
        b'"text"',
        b"17",
        b'{"ws_1_a": NaN}',
        b"\xff\xfe{",
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
    ),
    *(b'{"x":' * 50_000, b'{"a": \x00}', b"email=ana"),
]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:12]))
def test_a_broken_blob_is_told_and_kept_once(body: bytes) -> None:
    own = session()

    answer = sync(body=body, own=own)
    sync(body=body)

    assert [each["code"] for each in answer["problems"]] == ["unreadable_blob"]
    assert list(answer["sessions"]) == list(answer["keep"]) == [own.id]
    (kept,) = KeptBlob.objects.all()
    assert (kept.source, kept.times) == ("local_storage", 2)
    assert kept.text == body.decode(errors="backslashreplace")
    assert kept.reason == answer["problems"][0]["detail"]


def test_broken_entries_are_told_and_kept_and_the_others_are_read() -> None:
    own = session()
    storage = {
        own.id: held(own),
        "ws_1_a": entry(id="ws_1_a", status="pending"),
        "ws_1_b": entry(id="ws_1_c"),
        "ws_1_d": "text",
        "<script>": entry(),
        "ws_1_e": entry(id="ws_1_e", note=json.loads('{"a":' * 40 + "1" + "}" * 40)),
    }

    answer = sync(body=json.dumps(storage).encode(), own=own)

    assert list(answer["sessions"]) == [own.id]
    assert [each["code"] for each in answer["problems"]] == ["unreadable_entry"] * 5
    ids = {each.get("id") for each in answer["problems"]}
    assert ids == {"ws_1_a", "ws_1_b", "ws_1_d", "ws_1_e", None}
    assert answer["drop"] == []
    kept = KeptBlob.objects.get()
    assert json.loads(kept.text) == {name: storage[name] for name in storage if name != own.id}


def test_a_doubled_key_inside_an_entry_is_told() -> None:
    body = json.dumps({"ws_1_a": entry(id="ws_1_a")}).replace('"email"', '"email": "x", "email"')

    (problem,) = sync(body=body.encode())["problems"]

    assert problem == {
        "code": "unreadable_entry",
        "id": "ws_1_a",
        "detail": "A key of it comes twice.",
    }


def test_kept_blobs_are_sealed_without_cards_and_bounded(monkeypatch: Any) -> None:
    from legacy_adapters.local_storage import keeping

    monkeypatch.setattr(keeping, "MAX_KEPT", 3)
    for number in range(5):
        sync(body=f"{number} ana@example.org 4111 1111 1111 1111".encode())
    sync(body=b"2 ana@example.org 4111 1111 1111 1111")

    texts = [each.text for each in KeptBlob.objects.order_by("last_seen_at")]
    assert texts == [f"{number} ana@example.org [card number]" for number in (3, 4, 2)]
    assert "ana@example.org" not in database_text()


def test_kept_blobs_are_forgotten_after_a_month() -> None:
    sync(body=b"old")
    KeptBlob.objects.update(last_seen_at=F("last_seen_at") - timedelta(days=30))
    sync(body=b"new")

    assert (forget_kept_blobs(), forget_kept_blobs()) == (1, 0)
    assert KeptBlob.objects.get().text == "new"


def test_too_much_is_refused_and_not_kept() -> None:
    large = send(body=b'"' + b"x" * 256 * 1024 + b'"')
    many = send(*(entry(id=f"ws_1_{n}", email="") for n in range(201)))

    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert (many.status_code, many.json()["code"]) == (413, "too_many_entries")
    assert not KeptBlob.objects.exists()


def as_json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


@pure(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | json_values.map(as_json))
def test_any_body_is_answered(body: bytes) -> None:
    answer = send(body=body)

    assert answer.status_code in {200, 413}, answer.content
    assert set(answer.json()) == {
        *("key", "sessions", "keep", "drop", "startOver", "problems"),
    }


@pure(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_entry_of_a_shopper_is_answered(data: st.DataObject) -> None:
    own = session(products=[], amount=None)
    names = st.sampled_from([*entry(), "vaultId", "transactionId"])
    odd = data.draw(st.dictionaries(names, json_values, max_size=3))

    answer = send(body=as_json({own.id: held(own) | odd}), own=own)

    assert answer.status_code == 200, answer.content
    after = now_of(own)
    assert after.email == own.email
    assert (after.status, after.vault_id, after.transaction_id) == ("pending", None, None)


# How often


def test_one_session_and_one_address_have_a_budget(settings: SettingsWrapper) -> None:
    only = settings.LEGACY_ADAPTERS["local_storage"] | {"SYNCS_PER_MINUTE": 2}
    settings.LEGACY_ADAPTERS = {"local_storage": only | {"TRUSTED_PROXIES": 1}}
    own = session()

    def status(address: str, own: SessionSnapshot | None = None) -> int:
        return send(own=own, **{"X-Forwarded-For": f"6.6.6.6, {address}"}).status_code

    assert [status("198.51.100.1") for _ in range(3)] == [200, 200, 429]
    assert status("198.51.100.2") == 200
    by_session = [status(f"198.51.100.{10 + number}", own) for number in range(3)]
    assert by_session == [200, 200, 429]
    refused = send(**{"X-Forwarded-For": "198.51.100.1"})
    assert refused.json()["code"] == "throttled"
    assert 0 < int(refused["Retry-After"]) <= 60


def test_without_redis_everybody_may_sync(settings: SettingsWrapper) -> None:
    only = settings.LEGACY_ADAPTERS["local_storage"] | {"SYNCS_PER_MINUTE": 1}
    settings.LEGACY_ADAPTERS = {"local_storage": only}
    dead = settings.CACHES["default"] | {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    settings.CACHES = settings.CACHES | {"default": dead}
    before = THROTTLED.labels("open")._value.get()

    assert [send().status_code for _ in range(3)] == [200] * 3
    assert THROTTLED.labels("open")._value.get() == before + 3


# What stands behind it


def test_what_legacy_stores_cannot_say_now_is_asked_for_later(monkeypatch: Any) -> None:
    from legacy_adapters.local_storage import syncing
    from sessions_unified.models import UnifiedSession

    def fail(*_: object) -> None:
        raise SourceUnavailableError

    monkeypatch.setattr(syncing, "import_on_contact", fail)
    own = session()
    assert send(own=own).status_code == 200  # it is here: nobody else is asked
    UnifiedSession.objects.filter(pk=own.id).delete()

    answer = send(own=own)

    assert (answer.status_code, answer.json()["code"]) == (503, "legacy_unavailable")
    assert answer["Retry-After"]


def test_a_site_without_browsers_stores_has_no_such_call(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {}

    assert send().status_code == 404


def test_a_change_that_overtakes_a_sync_is_kept(monkeypatch: Any) -> None:
    from legacy_adapters.local_storage import copying

    own = session()
    lacking = copying.lacking_customer

    def overtaken(*args: Any) -> Any:
        if now_of(own).version == 1:
            get_manager().update_session(own.id, {"customer": {"firstName": "Zoë"}})
        return lacking(*args)

    monkeypatch.setattr(copying, "lacking_customer", overtaken)

    sync(held(own, customerInfo={"firstName": "Ana", "lastName": "Ng"}), own=own)

    assert now_of(own).customer == {"firstName": "Zoë", "lastName": "Ng"}


# The sample shop's browsers


def test_every_sample_browser_is_answered_and_the_broken_ones_are_kept() -> None:
    vaults: set[str] = set()
    for path in SAMPLES:
        text = path.read_bytes()
        vaults |= set(re.findall(rb'"vaultId":"(\w+)"', text))
        answer = send(body=text)
        assert answer.status_code == 200
        found = [each["code"] for each in answer.json()["problems"]]
        assert found in ([], ["unreadable_blob"])
        assert not any(vault in answer.content for vault in vaults)

    assert len(SAMPLES) == 72
    assert len(vaults) > 40
    assert KeptBlob.objects.count() == 4


def test_a_vault_id_is_in_no_answer() -> None:
    own = session()
    with get_manager().lock_session(own.id) as locked:
        locked.update({"vault_id": "777888999"}, kind="charged", checks_flow=False)
    mine = held(own, vaultId="777888999", more={"vaultId": "777888999"})

    answer = send(mine, entry(id="ws_1_a", vaultId="777888999"), own=own)

    assert own.id in answer.json()["keep"]
    assert b"777888999" not in answer.content
    assert b"ault" not in answer.content
